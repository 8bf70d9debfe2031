"""`charloom export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from charloom.bundle import open_model_directory
from charloom.cli.output import Output, OutputOptions
from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.runtime.export import export_onnx
from charloom.runtime.html import export_html


def export(
    model: Path,
    *,
    html: Path | None = None,
    onnx: Path | None = None,
    title: str = "",
    intro: str = "",
    prompt: str = "",
    precision: Literal["float32", "int8"] = "float32",
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Write a model as one file that runs without charloom.

    Parameters
    ----------
    model
        The model directory.
    html
        The file to write: a page that runs the model in a browser, with no network.
    onnx
        The file to write: an ONNX graph with the vocabulary in its metadata, for other programs.
    title
        The title of the page; the model's name if not given.
    intro
        A sentence at the top of the page, which other sites show with a link to it.
    prompt
        What the page's first text begins with.
    precision
        Which of the model's graphs, for --onnx; a page has int8 weights.
    overwrite
        Replace the file if it is there.
    """
    out = Output(options)
    if html is not None and onnx is not None:
        raise UsageError("give --html or --onnx, not both: one file at a time")
    if html is None and onnx is None:
        raise UsageError("say what to write: --html FILE or --onnx FILE")
    if onnx is not None and (title or intro or prompt):
        raise UsageError("--title, --intro and --prompt are for a page: give --html")
    directory = open_model_directory(model)
    if html is not None:
        words = {"title": title, "intro": intro, "prompt": prompt}
        page = export_html(directory, expand_home(html), overwrite=overwrite, **words)
        slow = "" if page.compiled else " (JavaScript alone: it writes slowly, for nothing here compiles WebAssembly)"
        _show(out, asdict(page), f"{page.path}: {page.bytes:,} bytes; open it in a browser{slow}")
    elif onnx is not None:
        graph = export_onnx(directory, expand_home(onnx), precision=precision, overwrite=overwrite)
        text = f"{graph.path}: {graph.bytes:,} bytes, {graph.precision}, {graph.vocab_size} symbols"
        _show(out, asdict(graph), text)


def _show(out: Output, record: dict[str, Any], text: str) -> None:
    if out.json:
        out.result(record)
    else:
        out.text(text)
