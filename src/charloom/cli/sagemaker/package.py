"""`charloom sagemaker package`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from charloom.bundle import open_model_directory
from charloom.cli.arguments import Destination, Written
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudView
from charloom.display import visible
from charloom.errors import UsageError
from charloom.sagemaker import packaging
from charloom.sagemaker.commands import command
from charloom.sagemaker.kernels import report_missing_kernel
from charloom.sagemaker.requirements import Container
from charloom.sagemaker.source_dir import ENTRY_POINT, write_source

_CONTAINER = Container()


def package(
    model: Path | None = None,
    /,
    *,
    output: Annotated[Path, Destination] = Path("model.tar.gz"),
    source: Annotated[Path | None, Written] = None,
    vendor: Annotated[bool, Parameter(negative=())] = False,
    python: str = _CONTAINER.python,
    platform: str = _CONTAINER.platform,
    check: bool = True,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Pack a model as model.tar.gz, with the code that serves it, and check that it answers.

    It serves in charloom's own image and in AWS's images of four functions. With --source, and no model, the folder of
    code that trains one is written instead, for the SageMaker SDK. Nothing is sent anywhere.

    Parameters
    ----------
    model
        The model directory.
    output
        The archive to write.
    source
        The folder to write the code of a training job into, as the source_dir of the SageMaker SDK; new or empty.
    vendor
        Put the packages that it needs into it, for networks without an index.
    python
        The container's version of Python.
    platform
        The container's platform, as wheels call it.
    check
        Unpack it elsewhere and let it answer a request, before anything is paid for.
    overwrite
        Replace the archive if it is there.
    dry_run
        Look at the model and write nothing. There are no requests to show.
    """
    out = Output(options)
    if source is not None:
        if model is not None:
            raise UsageError("--source is the code that trains a model: name no model, or leave --source out")
        _write_source(source, out, dry_run=dry_run)
        return
    if model is None:
        raise UsageError("name the model directory to pack, or give --source")
    if dry_run:
        open_model_directory(model)
        out.say("nothing was written; packing sends no request")
        return
    container = Container(python, platform)
    with CloudView(out) as view:
        packed = packaging.package(
            model, output, vendor=vendor, check=check, overwrite=overwrite, container=container, notify=view
        )
    _show(out, packed)


def _show(out: Output, packed: packaging.Package) -> None:
    if out.json:
        out.result({"path": str(packed.path), "bytes": packed.bytes, "sha256": packed.sha256})
    else:
        out.text(f"{packed.path}: {packed.bytes:,} bytes, sha256 {packed.sha256}")
        out.say(f"now try:\n    {command(None, 'deploy', packed.path)}", style="bold")


def _write_source(folder: Path, out: Output, *, dry_run: bool) -> None:
    if dry_run:
        out.say("nothing was written; writing the code sends no request")
        return
    write_source(folder)
    report_missing_kernel(out.note)
    if out.json:
        out.result({"source": str(folder), "entry_point": ENTRY_POINT})
        return
    out.text(f"{visible(str(folder))}: {ENTRY_POINT}, requirements.txt and charloom itself")
    out.say(f"next, in Python: sagemaker.pytorch.PyTorch({ENTRY_POINT!r}, source_dir={str(folder)!r}, ...)")
