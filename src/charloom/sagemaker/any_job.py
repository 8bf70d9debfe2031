"""A job by its name, of either kind: a training job of that name comes before a transform job."""

from __future__ import annotations

from charloom.errors import CloudError
from charloom.sagemaker import jobs
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.jobs import JobStatus
from charloom.sagemaker.resources import look
from charloom.sagemaker.transform_jobs import TransformStatus, stop_transform, transform_status


def any_status(aws: Aws, name: str, *, price: float | None = None) -> JobStatus | TransformStatus:
    """How a job is, started now or long ago.

    Args:
        aws: the account.
        name: the job's.
        price: USD an hour of one machine, where charloom's table is not to be asked.

    Raises:
        UsageError: that is no name.
        CloudError: there is no such job, or it may not be asked for.
    """
    try:
        return jobs.status(aws, name, price=price)
    except CloudError as error:
        return _transform_instead(aws, name, error, price)


def stop_any(aws: Aws, name: str) -> bool:
    """Stop a job; whether it was running. Stopping what has ended is no error.

    Raises:
        UsageError: that is no name.
        CloudError: there is no such job, or it may not be stopped.
    """
    try:
        return jobs.stop(aws, name)
    except CloudError as error:
        return _transform_instead(aws, name, error).status == "InProgress" and stop_transform(aws, name)


def _transform_instead(aws: Aws, name: str, error: CloudError, price: float | None = None) -> TransformStatus:
    """The transform job of a name that no training job has; the error where there is neither, or it says another."""
    found = transform_status(aws, name, price=price) if error.code == jobs.NO_JOB else None
    if found is not None:
        return found
    if error.code == jobs.NO_JOB and look(aws, "endpoint", name) is not None:
        message = f"{name} is an endpoint {shown_place(aws)}, not a job: {command(aws, 'list')}"
        raise CloudError(message, jobs.NO_JOB) from error
    raise error
