"""`charloom sagemaker attach`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.arguments import Destination
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudView, reach_account
from charloom.cli.sagemaker.job_views import job_data, wait_for_job
from charloom.cli.sagemaker.places import PlaceOptions, acts_here
from charloom.display import typed
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.instances import shown_price
from charloom.sagemaker.jobs.attach import AttachedModel, check_output
from charloom.sagemaker.jobs.attach import attach as attach_model
from charloom.sagemaker.jobs.follow import Watch, look_for
from charloom.sagemaker.jobs_here import attach_here, is_here, status_here
from charloom.sagemaker.other_places import job_elsewhere


def attach(
    name: str,
    *,
    output: Annotated[Path, Destination],
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    wait: bool = True,
    price: Annotated[float | None, Field(ge=0, le=10_000)] = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
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
    if acts_here(place, f"job {name}", there_is=is_here(name)):
        if place.dry_run:
            out.say(f"the model of the job {name} of this machine would be unpacked: no request would be sent")
            return 0
        for sentence in job_elsewhere(name) if not place.here else ():
            out.say(f"note: {sentence}", style="yellow")
        with CloudView(out) as view:
            attach_here(name, output, overwrite=overwrite, notify=view)
        report(out, output, job_data(status_here(name)))
        return 0
    aws = reach_account(
        place,
        out,
        not_here=f"there is no job {name}",
        elsewhere=lambda: made_elsewhere(None, name, "attach", output=output),
    )
    check_output(output.expanduser(), overwrite)
    if wait and not aws.dry and not look_for(aws, name, "attach", output=output).over:
        view = CloudView(out)
        ended = wait_for_job(out, aws, Watch(aws, name, price=price, notify=view), name, output)
        if isinstance(ended, int):
            return ended
    return fetch_model(out, aws, name, output, overwrite, price)


def fetch_model(out: Output, aws: Aws, name: str, output: Path, overwrite: bool, price: float | None) -> int:
    """Fetch the model of a job that has ended, and show it; the exit status."""
    with CloudView(out) as view:
        found = attach_model(aws, name, output, overwrite=overwrite, waiting=False, price=price, notify=view)
    if found is not None:
        report(out, output, job_data(found.job), found)
    return 0


def report(out: Output, output: Path, job: dict[str, Any], found: AttachedModel | None = None) -> None:
    """The model that was fetched, what its job cost, and the next command."""
    figures = {} if found is None else {
        "bytes": found.bytes, "bits_per_char": found.bits_per_char, "protocol": found.protocol
    }  # fmt: skip
    if out.json:
        out.result({"model": str(output), **figures, **job})
    else:
        reached_loss = "" if found is None else f": {found.bits_per_char:.3f} bits per character ({found.protocol})"
        out.text(f"{output}{reached_loss}\n{job['job']}: {job['status']}, {shown_price(job['price'])}")
    out.say(f"now try:\n    {typed('charloom', 'generate', output, '--prompt', 'The ')}", style="bold")
