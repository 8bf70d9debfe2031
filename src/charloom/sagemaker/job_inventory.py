"""The jobs of an account, of ours: those that run, and the newest of those that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from charloom.sagemaker import jobs
from charloom.sagemaker.aws import Answer, Aws, arn
from charloom.sagemaker.jobs import JobStatus
from charloom.sagemaker.names import ENDED
from charloom.sagemaker.resources import ours, tags_of
from charloom.sagemaker.transform_jobs import TransformStatus, transform_status

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
    found = list(_ours(aws, "TrainingJob", pages, jobs.status, ended=ended))
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
            if ours(tags_of(aws, summary[f"{kind}Arn"])):
                found = look(aws, summary[f"{kind}Name"])
                if found is not None:
                    yield found
    if aws.dry:
        tags_of(aws, arn(aws, "sagemaker", "training-job/job" if kind == "TrainingJob" else "transform-job/job"))
        look(aws, "JOB")
