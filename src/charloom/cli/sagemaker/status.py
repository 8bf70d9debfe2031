"""`charloom sagemaker status`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, reached
from charloom.cli.sagemaker.job_views import batch_text, job_data, job_text
from charloom.errors import CloudError
from charloom.sagemaker.jobs import NO_JOB
from charloom.sagemaker.jobs import status as status_of
from charloom.sagemaker.jobs_here import is_here, status_here
from charloom.sagemaker.transform_jobs import TransformStatus, transform_status


def status(
    name: str,
    *,
    price: Annotated[float | None, Field(ge=0, le=10_000)] = None,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Say how a job is, started now or long ago: state, time, price so far, last losses, why it failed.

    A training job of that name comes before a transform job.

    Parameters
    ----------
    name
        The job's name.
    price
        USD an hour of one machine, if you know better than charloom's table.
    """
    out = Output(options)
    if is_here(name):
        found = status_here(name)
    else:
        aws = reached(cloud, out, not_here=f"there is no job {name}")
        try:
            found = status_of(aws, name, price=price)
        except CloudError as error:
            if error.code != NO_JOB or (batch := transform_status(aws, name, price=price)) is None:
                raise
            _show_batch(out, batch)
            return
        if aws.dry:
            return
    if out.json:
        out.result(job_data(found))
    else:
        out.text(job_text(found))


def _show_batch(out: Output, found: TransformStatus) -> None:
    if out.json:
        out.result(job_data(found))
    else:
        out.text(batch_text(found))
