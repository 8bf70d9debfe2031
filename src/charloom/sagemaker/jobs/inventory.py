"""The training and transform jobs of an account that charloom made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from charloom.sagemaker.aws import Answer, Aws, arn
from charloom.sagemaker.batch_transform import TransformStatus, transform_status
from charloom.sagemaker.hosting.resources import is_ours, tags_of
from charloom.sagemaker.jobs.follow import JobStatus, training_status
from charloom.sagemaker.names import ENDED

_LONGEST = timedelta(days=60)  # a job may wait for 28 days, then run for 28
_RECENT = 20  # ended jobs of each kind that are looked at, whoever has made them

_Look = Callable[[Aws, str], JobStatus | TransformStatus | None]


def account_jobs(aws: Aws, *, ended: bool = True) -> list[JobStatus | TransformStatus]:
    """The training and transform jobs of ours in the region: the running first, then the newest."""
    since = datetime.now(UTC) - _LONGEST
    request = {"CreationTimeAfter": since, "SortBy": "CreationTime", "SortOrder": "Descending"}
    pages = aws.pages("sagemaker", "list_training_jobs", **request)
    found = list(_ours(aws, "TrainingJob", pages, _training_status, ended=ended))
    pages = aws.pages("sagemaker", "list_transform_jobs", **request)
    found += _ours(aws, "TransformJob", pages, transform_status, ended=ended)
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(sorted(found, key=lambda job: job.created or earliest, reverse=True), key=lambda job: job.over)


def _training_status(aws: Aws, name: str) -> JobStatus:
    return training_status(aws, name, "status")


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
