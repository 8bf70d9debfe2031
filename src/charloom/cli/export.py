"""`charloom export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from charloom.bundle import open_model_directory
from charloom.cli.output import Output, OutputOptions
from charloom.errors import UsageError
from charloom.runtime.exporting import export_onnx


def export(
    model: Path,
    *,
    onnx: Path | None = None,
    precision: Literal["float32", "int8"] = "float32",
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Write a model as one file that other programs can run.

    Parameters
    ----------
    model
        The model directory.
    onnx
        The file to write: an ONNX graph with the vocabulary in its metadata.
    precision
        Which of the model's graphs.
    overwrite
        Replace the file if it is there.
    """
    out = Output(options)
    if onnx is None:
        raise UsageError("say what to write: --onnx FILE")
    written = export_onnx(open_model_directory(model), onnx.expanduser(), precision=precision, overwrite=overwrite)
    if out.json:
        out.result(asdict(written))
    else:
        out.text(f"{written.path}: {written.bytes:,} bytes, {written.precision}, {written.vocab_size} symbols")
