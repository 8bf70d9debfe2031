"""`charloom sagemaker status`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, reached
from charloom.cli.sagemaker.job_views import job_data, job_text
from charloom.sagemaker.any_job import any_status
from charloom.sagemaker.jobs import JobStatus
from charloom.sagemaker.jobs_here import is_here, status_here
from charloom.sagemaker.transform_jobs import TransformStatus


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
    found: JobStatus | TransformStatus
    if is_here(name):
        found = status_here(name)
    else:
        aws = reached(cloud, out, not_here=f"there is no job {name}")
        found = any_status(aws, name, price=price)
        if aws.dry:
            return
    if out.json:
        out.result(job_data(found))
    else:
        out.text(job_text(found))
