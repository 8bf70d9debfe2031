"""`charloom sagemaker attach`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.arguments import Destination
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend, note_elsewhere
from charloom.cli.sagemaker.cloud import CloudView
from charloom.cli.sagemaker.job_views import job_data, wait_for_job
from charloom.display import typed
from charloom.files import expand_home
from charloom.sagemaker.instances import shown_price
from charloom.sagemaker.jobs.attach import AttachedModel, check_output
from charloom.sagemaker.jobs.follow import Watch, training_status
from charloom.sagemaker.other_regions import job_elsewhere

if TYPE_CHECKING:
    from charloom.sagemaker.backend import Backend


def attach(
    name: str,
    *,
    output: Annotated[Path, Destination],
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    wait: bool = True,
    price: Annotated[float | None, Field(ge=0, le=10_000)] = None,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Fetch the model of a training job into a model directory, ready to generate; waits for a job that still runs.

    Parameters
    ----------
    name
        The job: of this machine, else of the account; --here, --region and --profile decide.
    output
        The model directory to write.
    overwrite
        Replace the model that is there.
    wait
        Wait for a job that still runs, and follow its log.
    price
        USD an hour of one machine, if you know better than charloom's table.
    """
    out = Output(options)
    backend = find_backend(place, out, "job", name, "attach", would="be attached", output=output)
    if backend is None:
        return 0
    note_elsewhere(out, place, backend, job_elsewhere(name))
    if backend.aws is not None and wait and not backend.dry:
        check_output(expand_home(output), overwrite)
        if not training_status(backend.aws, name, "attach", output=output).over:
            watch = Watch(backend.aws, name, price=price, notify=CloudView(out))
            ended = wait_for_job(out, backend.aws, watch, name, output)
            if isinstance(ended, int):
                return ended
    fetch_model(out, backend, name, output, overwrite, price)
    return 0


def fetch_model(out: Output, backend: Backend, name: str, output: Path, overwrite: bool, price: float | None) -> None:
    """Fetch the model of a job that has ended; show it, what its job cost, and the next command."""
    with CloudView(out) as view:
        found = backend.attach(name, expand_home(output), overwrite=overwrite, waiting=False, price=price, notify=view)
    if found is not None:
        report(out, output, found)


def report(out: Output, output: Path, found: AttachedModel) -> None:
    """The model that was fetched, what its job cost, and the next command."""
    job = job_data(found.job)
    if out.json:
        figures = {"bytes": found.bytes, "bits_per_char": found.bits_per_char, "protocol": found.protocol}
        out.result({"model": str(output), **figures, **job})
    else:
        out.text(
            f"{output}: {found.bits_per_char:.3f} bits per character ({found.protocol})\n"
            f"{job['job']}: {job['status']}, {shown_price(job['price'])}"
        )
    out.say(f"now try:\n    {typed('charloom', 'generate', output, '--prompt', 'The ')}", style="bold")
