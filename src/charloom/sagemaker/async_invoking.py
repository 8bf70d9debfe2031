"""Asking an asynchronous endpoint: the request lies in S3, and the answer will."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from charloom.errors import CloudError, UsageError
from charloom.events import Notify, StatusChanged, ignore
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.invocation_request import ASYNC_LIMIT, JSON, TEXT, async_request, completion_body, payload_body
from charloom.sagemaker.invoking import Answer, answer_of
from charloom.sagemaker.model_errors import explained, model_words
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name
from charloom.sagemaker.storage import default_bucket, ensure_bucket

LONGEST = 3600.0
"""Seconds that Amazon lets an asynchronous answer take at most."""

_NOT_THERE = ("404", "NoSuchKey", "NotFound", "403", "AccessDenied")  # 403: it is not there, and we may not list
_PAUSES = (1.0, 2.0, 4.0, 5.0)  # seconds between looks; the last goes on


@dataclass(frozen=True)
class Pending:
    """An answer that will come.

    Attributes:
        endpoint: whose.
        prompt: what is continued; of a payload all of it.
        plain: whether the answer is plain text, as a payload's is.
        source: where the request lies.
        output: where the answer will lie.
        failure: where an error would lie, if the endpoint says it.
    """

    endpoint: str
    prompt: str
    plain: bool
    source: S3Uri
    output: S3Uri
    failure: S3Uri | None


def invoke_later(
    aws: Aws, name: str, prompt: str, *, payload: bool = False, place: S3Uri | None = None, **sampling: Any
) -> Pending:
    """Put a request into S3 and let an asynchronous endpoint answer it in its own time.

    Args:
        aws: the account.
        name: the endpoint's.
        prompt: what to continue, or with `payload` the article's `<total length>-<start text>`.
        payload: whether `prompt` is such a payload.
        place: the folder in S3 for the request; `charloom/requests` in the default bucket if none is given.
        **sampling: as for `invoke`.

    Raises:
        UsageError: an option cannot work, or the request is too large.
        CloudError: the endpoint is not there, not in service, not asynchronous; or S3 refused the request.
    """
    checked_name(name, "endpoint")
    body = payload_body(prompt) if payload else completion_body(prompt, sampling)
    if len(body) > ASYNC_LIMIT:
        raise UsageError(f"the request has {len(body):,} bytes, an asynchronous endpoint takes {ASYNC_LIMIT:,}")
    if place is None:
        place = S3Uri(default_bucket(aws), "charloom/requests")
        ensure_bucket(aws, place.bucket)
    source, kind = place / fresh_name(name), TEXT if payload else JSON
    aws.call("s3", "put_object", Bucket=source.bucket, Key=source.key, Body=body, ContentType=kind)
    try:
        told = aws.call("sagemaker-runtime", "invoke_endpoint_async", **async_request(name, source, kind, kind))
    except CloudError as error:
        raise explained(aws, name, error) from error
    output = S3Uri.parse(told["OutputLocation"]) if told else S3Uri(source.bucket, "OUTPUT")
    failure = told.get("FailureLocation")
    return Pending(name, prompt, payload, source, output, S3Uri.parse(failure) if failure else None)


def collect(aws: Aws, pending: Pending, *, seconds: float = LONGEST, notify: Notify = ignore) -> Answer:
    """Wait for an answer.

    Args:
        aws: the account.
        pending: of `invoke_later`.
        seconds: how long to wait at most.
        notify: receives the state "waiting".

    Raises:
        CloudError: the endpoint refused or failed, or the answer did not come in time.
    """
    if aws.dry:
        aws.call("s3", "get_object", Bucket=pending.output.bucket, Key=pending.output.key)
        return answer_of(pending.endpoint, pending.prompt, b"", 0.0)
    began, looks = time.monotonic(), 0
    notify(StatusChanged(pending.endpoint, "waiting", f"the answer will lie at {pending.output}"))
    while True:
        found = _object(aws, pending.output)
        taken = time.monotonic() - began
        if found is not None:
            return _answer(pending, found, taken)
        failed = None if pending.failure is None else _object(aws, pending.failure)
        if failed is not None:
            words = model_words(failed.decode("utf-8", "replace"))
            raise CloudError(f"endpoint {pending.endpoint} did not answer: {words}", "ModelError", words)
        if taken >= seconds:
            raise CloudError(f"no answer after {taken:,.0f} s; it would lie at {pending.output}", "Timeout")
        time.sleep(min(_PAUSES[min(looks, len(_PAUSES) - 1)], max(0.0, seconds - taken)))
        looks += 1


def _answer(pending: Pending, content: bytes, seconds: float) -> Answer:
    if not pending.plain:
        return answer_of(pending.endpoint, pending.prompt, content, seconds)
    text = content.decode("utf-8", "replace")
    return Answer(pending.endpoint, pending.prompt, text, None, None, len(text), seconds)


def _object(aws: Aws, uri: S3Uri) -> bytes | None:
    try:
        body = aws.call("s3", "get_object", Bucket=uri.bucket, Key=uri.key)["Body"]
    except CloudError as error:
        if error.code in _NOT_THERE:
            return None
        raise
    with body:
        content: bytes = body.read()
    return content
