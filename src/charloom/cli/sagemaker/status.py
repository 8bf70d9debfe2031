"""`charloom sagemaker status`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import reach_account
from charloom.cli.sagemaker.job_views import job_data, job_text
from charloom.cli.sagemaker.places import PlaceOptions, acts_here
from charloom.errors import CharloomError
from charloom.sagemaker.batch_transform import TransformStatus
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.endpoints_here import is_endpoint_here
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.follow import JobStatus
from charloom.sagemaker.jobs.inventory import any_status
from charloom.sagemaker.jobs_here import is_here, status_here
from charloom.sagemaker.other_places import job_elsewhere


def status(
    name: str,
    *,
    price: Annotated[float | None, Field(ge=0, le=10_000)] = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Say how a job is, started now or long ago: state, time, price so far, last losses, why it failed.

    A job of this machine comes first, else a training job of the account, else a transform job.

    Parameters
    ----------
    name
        The job's name.
    price
        USD an hour of one machine, if you know better than charloom's table.
    """
    out = Output(options)
    found: JobStatus | TransformStatus
    if acts_here(place, f"job {name}", there_is=is_here(name)):
        if place.dry_run:
            out.say(f"the job {name} is of this machine: no request would be sent")
            return
        found, region = status_here(name), LOCAL
        for sentence in job_elsewhere(name) if not place.here else ():
            out.say(f"note: {sentence}", style="yellow")
    else:
        if acts_here(place, "", there_is=is_endpoint_here(name)):
            raise CharloomError(f"{name} is an endpoint of this machine, not a job: {command(HERE, 'list')}")
        aws = reach_account(
            place, out, not_here=f"there is no job {name}", elsewhere=lambda: made_elsewhere(None, name, "status")
        )
        found, region = any_status(aws, name, price=price), aws.region
        if aws.dry:
            return
    if out.json:
        out.result(job_data(found) | {"region": region})
    else:
        out.text(job_text(found, region))
