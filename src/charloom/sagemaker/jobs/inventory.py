"""The jobs of an account that charloom made, and a job of either kind by its name.

A training job of a name comes before a transform job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from charloom.errors import CloudError
from charloom.sagemaker.aws import Answer, Aws, arn
from charloom.sagemaker.batch_transform import TransformStatus, stop_transform, transform_status
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.hosting.parts import is_ours, look, tags_of
from charloom.sagemaker.jobs import follow
from charloom.sagemaker.jobs.follow import JobStatus
from charloom.sagemaker.names import ENDED

_LONGEST = timedelta(days=60)  # a job may wait for 28 days, then run for 28
_RECENT = 20  # ended jobs of each kind that are looked at, whoever has made them

_Look = Callable[[Aws, str], JobStatus | TransformStatus | None]


def list_jobs(aws: Aws, *, ended: bool = True) -> list[JobStatus | TransformStatus]:
    """The training and transform jobs of ours in the account's region: the running first, then the newest.

    Args:
        aws: the account.
        ended: also jobs that have ended, the newest of them.

    Raises:
        CloudError: Amazon may not be asked.
    """
    since = datetime.now(UTC) - _LONGEST
    request = {"CreationTimeAfter": since, "SortBy": "CreationTime", "SortOrder": "Descending"}
    pages = aws.pages("sagemaker", "list_training_jobs", **request)
    found = list(_ours(aws, "TrainingJob", pages, follow.status, ended=ended))
    pages = aws.pages("sagemaker", "list_transform_jobs", **request)
    found += _ours(aws, "TransformJob", pages, transform_status, ended=ended)
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(sorted(found, key=lambda job: job.created or earliest, reverse=True), key=lambda job: job.over)


def _ours(
    aws: Aws, kind: str, pages: Iterable[Answer], look: _Look, *, ended: bool
) -> Iterator[JobStatus | TransformStatus]:
    """Those of one kind that are worth a look and carry our tag, each as it is."""
    looked = 0
    for page in pages:
        for summary in page[f"{kind}Summaries"]:
            over = summary[f"{kind}Status"] in ENDED
            looked += over
            if over and (not ended or looked > _RECENT):
                continue
            if is_ours(tags_of(aws, summary[f"{kind}Arn"])):
                found = look(aws, summary[f"{kind}Name"])
                if found is not None:
                    yield found
    if aws.dry:
        tags_of(aws, arn(aws, "sagemaker", "training-job/job" if kind == "TrainingJob" else "transform-job/job"))
        look(aws, "JOB")


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
        return follow.status(aws, name, price=price)
    except CloudError as error:
        return _transform_instead(aws, name, error, price)


def stop_any(aws: Aws, name: str) -> bool:
    """Stop a job; whether it was running. Stopping what has ended is no error.

    Raises:
        UsageError: that is no name.
        CloudError: there is no such job, or it may not be stopped.
    """
    try:
        return follow.stop(aws, name)
    except CloudError as error:
        return _transform_instead(aws, name, error).status == "InProgress" and stop_transform(aws, name)


def _transform_instead(aws: Aws, name: str, error: CloudError, price: float | None = None) -> TransformStatus:
    """The transform job of a name that no training job has; the error where there is neither, or it says another."""
    found = transform_status(aws, name, price=price) if error.code == follow.NO_JOB else None
    if found is not None:
        return found
    if error.code == follow.NO_JOB and look(aws, "endpoint", name) is not None:
        message = f"{name} is an endpoint {shown_place(aws)}, not a job: {command(aws, 'list')}"
        raise CloudError(message, follow.NO_JOB) from error
    raise error
