"""Ask an endpoint to continue a text: at once, as it is written, with the article's payload, or through S3.

An asynchronous endpoint reads its request from S3 and puts the answer there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

from charloom.errors import CloudError, UsageError
from charloom.events import Notify, StatusChanged, ignore
from charloom.options import SamplingOptions
from charloom.sagemaker.aws import Aws, is_missing
from charloom.sagemaker.endpoint_clients import (
    ASYNC_LIMIT,
    JSON,
    TEXT,
    async_request,
    completion_body,
    endpoint_client,
    explain_error,
    model_words,
    payload_body,
)
from charloom.sagemaker.names import S3Uri, check_name, fresh_name
from charloom.sagemaker.s3 import FORBIDDEN, default_bucket, ensure_bucket
from charloom.settings import SamplingSettings

_EVENT_LIMIT = 1 << 22  # bytes of one event of a stream

LONGEST = 3600.0
"""Seconds that Amazon lets an asynchronous answer take at most."""
_PAUSES = (1.0, 2.0, 4.0, 5.0)  # seconds between looks; the last goes on


@dataclass(frozen=True)
class Answer:
    """What an endpoint has written.

    Attributes:
        endpoint: its name.
        prompt: what was continued, as it was sent.
        text: the continuation alone; empty in a dry run.
        finish_reason: `length` or `stop`; None where the endpoint does not say it.
        seed: the same seed gives the same text; None where the endpoint does not say it.
        characters: how many were written.
        seconds: from the request to the end of the answer.
    """

    endpoint: str
    prompt: str
    text: str
    finish_reason: str | None
    seed: int | None
    characters: int
    seconds: float


def invoke(
    aws: Aws | None,
    name: str,
    prompt: str,
    settings: SamplingSettings | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Answer:
    """Let an endpoint continue a text.

    Args:
        aws: the account; None for an endpoint of this machine.
        name: the endpoint's.
        prompt: what to continue.
        settings: how the text is drawn; `sampling` goes over it.
        **sampling: as for `Model.generate`: `length` (500), `temperature`, `top_k`, `top_p`, `min_p`, `seed`,
            `stop`, `regex`; what is not given is the model's own.

    Raises:
        UsageError: an option cannot work, or the request is too large.
        CloudError: the endpoint is not there, not in service, or has refused or failed.
    """
    began = time.monotonic()
    content = endpoint_client(aws, name).ask(completion_body(prompt, settings, sampling), JSON, JSON)
    return answer_of(name, prompt, content, time.monotonic() - began)


def answer_of(name: str, prompt: str, content: bytes, seconds: float) -> Answer:
    """Read a completion; nothing is an empty answer."""
    if not content:
        return Answer(name, prompt, "", None, None, 0, seconds)
    try:
        choice = json.loads(content)["choices"][0]
        text = str(choice["text"])
    except (ValueError, LookupError, TypeError) as error:
        shown = model_words(content[:2000].decode("utf-8", "replace"))
        raise CloudError(f"endpoint {name} did not answer with a completion: {shown}", "Answer") from error
    return Answer(name, prompt, text, choice.get("finish_reason"), choice.get("seed"), len(text), seconds)


def invoke_text(aws: Aws | None, name: str, payload: str) -> str:
    """Send the article's payload, `<total length>-<start text>`; the answer is the start text continued to that length.

    Raises:
        UsageError: the payload cannot be sent.
        CloudError: as `invoke`.
    """
    return endpoint_client(aws, name).ask(payload_body(payload), TEXT, TEXT).decode("utf-8", "replace")


class AnswerStream:
    """A continuation as it is written: an iterator of its pieces.

    Attributes:
        finish_reason: `length` or `stop`, once it has ended.
        seed: known from the first piece.
    """

    def __init__(self, name: str, prompt: str, pieces: Iterator[bytes], *, dry: bool) -> None:
        """Follow an endpoint's answer; use `invoke_stream` instead."""
        self.finish_reason: str | None = None
        self.seed: int | None = None
        self._name, self._prompt = name, prompt
        self._began = time.monotonic()
        self._events = _events(pieces, name)
        self._pieces = self._read(dry)
        self._written: list[str] = []

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self._written.append(piece)
        return piece

    def finish(self) -> Answer:
        """Read what is left; the whole answer."""
        for _ in self:
            pass
        text, seconds = "".join(self._written), time.monotonic() - self._began
        return Answer(self._name, self._prompt, text, self.finish_reason, self.seed, len(text), seconds)

    def _read(self, dry: bool) -> Iterator[str]:
        for event in self._events:
            if event == "[DONE]":
                return
            piece = self._piece(event)
            if piece:
                yield piece
        if not dry:
            raise CloudError(f"the answer of {self._name} broke off before its end", "ModelStreamError")

    def _piece(self, event: str) -> str:
        try:
            data = json.loads(event)
            if "error" in data:
                raise CloudError(f"endpoint {self._name} failed: {model_words(event)}", "ModelStreamError")
            (choice,) = data["choices"]
            text = str(choice["text"])
        except (ValueError, LookupError, TypeError) as error:
            message = f"endpoint {self._name} did not answer with a stream of completions: {model_words(event)}"
            raise CloudError(message, "Answer") from error
        self.seed = choice.get("seed", self.seed)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return text


def invoke_stream(
    aws: Aws | None,
    name: str,
    prompt: str,
    settings: SamplingSettings | None = None,
    **sampling: Unpack[SamplingOptions],
) -> AnswerStream:
    """Let an endpoint continue a text, and give the pieces as they arrive. Arguments are those of `invoke`.

    Nothing is sent before the first piece is asked for.

    Raises:
        UsageError: an option cannot work. The iterator raises what `invoke` does, and CloudError where the answer
            breaks off; what came before is kept.
    """
    body = completion_body(prompt, settings, sampling, stream=True)
    pieces = endpoint_client(aws, name).stream(body, JSON)
    return AnswerStream(name, prompt, pieces, dry=aws is not None and aws.dry)


def _events(pieces: Iterator[bytes], name: str) -> Iterator[str]:
    """The data of server-sent events, however they are cut."""
    waiting = b""
    for piece in pieces:
        *events, waiting = (waiting + piece.replace(b"\r\n", b"\n")).split(b"\n\n")
        if len(waiting) > _EVENT_LIMIT:
            raise CloudError(f"endpoint {name} did not answer with a stream of events", "Answer")
        for event in events:
            text = event.decode("utf-8", "replace")
            if text.startswith("data:"):
                yield text[5:].strip()
    if waiting.strip():  # an answer that is no stream, such as a whole completion
        yield waiting.decode("utf-8", "replace").removeprefix("data:").strip()


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
    aws: Aws,
    name: str,
    prompt: str,
    settings: SamplingSettings | None = None,
    *,
    payload: bool = False,
    place: S3Uri | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Pending:
    """Put a request into S3 and let an asynchronous endpoint answer it in its own time.

    Args:
        aws: the account.
        name: the endpoint's.
        prompt: what to continue, or with `payload` the article's `<total length>-<start text>`.
        settings: as for `invoke`.
        payload: whether `prompt` is such a payload.
        place: the folder in S3 for the request; `charloom/requests` in the default bucket if none is given.
        **sampling: as for `invoke`.

    Raises:
        UsageError: an option cannot work, or the request is too large.
        CloudError: the endpoint is not there, not in service, not asynchronous; or S3 refused the request.
    """
    check_name(name, "endpoint")
    body = payload_body(prompt) if payload else completion_body(prompt, settings, sampling)
    if len(body) > ASYNC_LIMIT:
        raise UsageError(f"the request has {len(body):,} bytes, an asynchronous endpoint takes {ASYNC_LIMIT:,}")
    if place is None:
        place = S3Uri(default_bucket(aws), "charloom/requests")
        ensure_bucket(aws, place.bucket)
    source, kind = place / fresh_name(name), TEXT if payload else JSON
    aws.call("s3", "put_object", Bucket=source.bucket, Key=source.key, Body=body, ContentType=kind)
    try:
        response = aws.call("sagemaker-runtime", "invoke_endpoint_async", **async_request(name, source, kind, kind))
    except CloudError as error:
        raise explain_error(aws, name, error) from error
    output = S3Uri.parse(response["OutputLocation"]) if response else S3Uri(source.bucket, "OUTPUT")
    failure = response.get("FailureLocation")
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
        if is_missing(error) or error.code in FORBIDDEN:  # forbidden: it is not there, and we may not list
            return None
        raise
    with body:
        content: bytes = body.read()
    return content
