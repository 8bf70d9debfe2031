"""Batches: JSON lines in S3 go in, an answer a line comes out, and the machines are gone by themselves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.errors import CloudError, UsageError
from charloom.events import LogLine, Notice, Notify, StatusChanged, ignore
from charloom.sagemaker.account import role_arn
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.cloudwatch import TRANSFORMS, Log
from charloom.sagemaker.model_data import check_model
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name, is_s3
from charloom.sagemaker.resources import look, remove
from charloom.sagemaker.transform_request import TransformSettings, transform_request
from charloom.settings import validated

POLL = 10.0
"""Seconds between two looks at a job."""

FAILED = "Failed"
"""The code of the error that tells of a job's failure."""

_LINES = 20
_TOLD_EVERY = 60.0  # seconds: a sign of life while nothing changes


@dataclass(frozen=True)
class Transformed:
    """A batch.

    Attributes:
        job: its name.
        model: the SageMaker model's name.
        status: of the job: InProgress, Completed, Stopped.
        output: the folder of the answers.
        objects: the answers' addresses, once the job is Completed.
        seconds: how long the machines ran, once it is known.
    """

    job: str
    model: str
    status: str
    output: str
    objects: tuple[str, ...] = ()
    seconds: float | None = None


def transform(
    aws: Aws,
    model: str,
    source: str,
    output: str,
    *,
    score: bool = False,
    name: str | None = None,
    settings: TransformSettings | None = None,
    wait: bool = True,
    notify: Notify = ignore,
    role: str | None = None,
    image: str | None = None,
    **chosen: Any,
) -> Transformed:
    """Continue, or measure, every line of files in S3.

    A line is a JSON object as `/invocations` takes it (docs/reference/http.md): at least `{"prompt": "..."}`.

    Args:
        aws: the account.
        model: the name of a SageMaker model; or what `deploy` takes: a model directory, an archive, a finished job.
            From the latter a model is made, and removed after the job.
        source: the address in S3 of a file, or what the addresses of several begin with.
        output: the folder in S3 for the answers: those to `a.jsonl` lie in `a.jsonl.out`.
        score: measure the prompts of lines that do not say what they want, instead of continuing them.
        name: the job's; made from the model's if None.
        settings: instances and pieces.
        wait: whether to follow the job to its end.
        notify: is told what happens.
        role: for a model that is made: the role it runs under.
        image: for a model that is made: its container image.
        **chosen: single settings, which go over `settings`.

    Raises:
        UsageError: a choice cannot work, or there is no input.
        CloudError: the job failed (its log's last lines were told), or Amazon refused something.
    """
    choice = validated(TransformSettings, {**(settings.model_dump(exclude_unset=True) if settings else {}), **chosen})
    job = name or fresh_name(Path(model).name)
    begin, end = check_transform(aws, model, source, output, job, role)
    _check_input(aws, begin)
    made = _made(aws, model, role, image, notify)
    request = transform_request(job, made or model, begin, end, choice, score=score)
    try:
        aws.call("sagemaker", "create_transform_job", **request)
    except BaseException:
        _remove(aws, made)
        raise
    if wait:
        return _followed(aws, job, made, notify)
    if made:
        notify(Notice(f"the model {made} stays, for the job needs it: it costs nothing"))
    return Transformed(job, made or model, "InProgress", str(end))


def check_transform(aws: Aws, model: str, source: str, output: str, job: str, role: str | None) -> tuple[S3Uri, S3Uri]:
    """See, before anybody is asked and anything is sent, that a batch is worth it; the two addresses.

    Raises:
        UsageError: an address is none, the name cannot be one, or a role is missing.
        ModelDirectoryError: there is no such model.
    """
    places = S3Uri.parse(source), S3Uri.parse(output)
    checked_name(job, "the job")
    check_model(model)
    if not _is_name(model):
        role_arn(aws, role)
    return places


def _is_name(model: str) -> bool:
    """Whether this is the name of something in the account, and nothing of this machine or in S3."""
    return not is_s3(model) and not Path(model).expanduser().exists()


def _followed(aws: Aws, job: str, made: str | None, notify: Notify) -> Transformed:
    """Follow a job, and remove its model once it has ended; one that is interrupted goes on and needs it."""
    try:
        found = follow(aws, job, notify=notify)
    except CloudError as error:
        if error.code == FAILED:
            _remove(aws, made)
        raise
    _remove(aws, made)
    return found


def _remove(aws: Aws, made: str | None) -> None:
    if made:
        remove(aws, "model", made)


def _check_input(aws: Aws, source: S3Uri) -> None:
    """A job that has nothing to read would fail after minutes that are paid for."""
    found = aws.call("s3", "list_objects_v2", Bucket=source.bucket, Prefix=source.key, MaxKeys=1)
    if not aws.dry and not found.get("KeyCount"):
        raise UsageError(f'there is nothing at {source}: put JSON lines there, such as {{"prompt": "Once"}}')


def _made(aws: Aws, model: str, role: str | None, image: str | None, notify: Notify) -> str | None:
    """The name of a model that had to be made; None where one of that name is there."""
    if _is_name(model) and (look(aws, "model", checked_name(model, "model")) is not None or aws.dry):
        return None
    from charloom.sagemaker.deploying import create_model

    return create_model(aws, model, notify=notify, role=role, image=image)


def follow(aws: Aws, job: str, *, notify: Notify = ignore) -> Transformed:
    """Wait for a transform job.

    Raises:
        CloudError: it failed (its log's last lines were told), or there is none of that name.
    """
    began = told = time.monotonic()
    status = ""
    while True:
        found = aws.call("sagemaker", "describe_transform_job", TransformJobName=job)
        if aws.dry:
            return Transformed(job, "MODEL", "InProgress", "")
        now, changed = time.monotonic(), found["TransformJobStatus"] != status
        if changed or now - told >= _TOLD_EVERY:
            status, told = found["TransformJobStatus"], now
            notify(StatusChanged(job, status, "" if changed else f"for {(now - began) / 60:.0f} min"))
        if status == FAILED:
            raise _failed(aws, job, found, notify)
        if status in ("Completed", "Stopped"):
            return _ended(aws, job, found)
        time.sleep(POLL)


def _ended(aws: Aws, job: str, found: dict[str, Any]) -> Transformed:
    output = found["TransformOutput"]["S3OutputPath"]
    objects = tuple(_answers(aws, found, S3Uri.parse(output))) if found["TransformJobStatus"] == "Completed" else ()
    began, ended = found.get("TransformStartTime"), found.get("TransformEndTime")
    seconds = (ended - began).total_seconds() if began and ended else None
    return Transformed(job, found["ModelName"], found["TransformJobStatus"], output, objects, seconds)


def _answers(aws: Aws, found: dict[str, Any], output: S3Uri) -> Iterator[str]:
    """Where the answers to a job's files lie, by Amazon's rule: the part of the name below the input, and .out."""
    source = S3Uri.parse(found["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    for page in aws.pages("s3", "list_objects_v2", Bucket=source.bucket, Prefix=source.key):
        for entry in page.get("Contents", []):
            below = entry["Key"].removeprefix(source.key).lstrip("/") or entry["Key"].rpartition("/")[2]
            yield str(output / f"{below}.out")


def _failed(aws: Aws, job: str, found: dict[str, Any], notify: Notify) -> CloudError:
    reason = " ".join(str(found.get("FailureReason", "no reason given")).split())
    lines = _last_lines(aws, job)
    for line in lines:
        notify(LogLine(line))
    where = "" if lines else f"; nothing was written to {TRANSFORMS}"
    return CloudError(f"the transform job {job} failed: {reason}{where}", FAILED, reason)


def _last_lines(aws: Aws, job: str) -> list[str]:
    """The last lines that a job's containers have written; none where they cannot be read."""
    try:
        return list(deque((line.message for line in Log(aws, TRANSFORMS, f"{job}/").new_lines()), maxlen=_LINES))
    except CloudError:  # no permission: the failure itself is what matters
        return []
