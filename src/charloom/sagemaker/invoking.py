"""Asking an endpoint to continue a text: at once, as it is written, or with the article's payload."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.channels import channel
from charloom.sagemaker.invocation_request import JSON, TEXT, completion_body, payload_body
from charloom.sagemaker.model_errors import model_words

_EVENT_LIMIT = 1 << 22  # bytes of one event of a stream


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


def invoke(aws: Aws | None, name: str, prompt: str, **sampling: Any) -> Answer:
    """Let an endpoint continue a text.

    Args:
        aws: the account; None for an endpoint of this machine.
        name: the endpoint's.
        prompt: what to continue.
        **sampling: as for `Model.generate`: `length` (500), `temperature`, `top_k`, `top_p`, `min_p`, `seed`,
            `stop`, `regex`; what is not given is the model's own.

    Raises:
        UsageError: an option cannot work, or the request is too large.
        CloudError: the endpoint is not there, not in service, or has refused or failed.
    """
    began = time.monotonic()
    content = channel(aws, name).ask(completion_body(prompt, sampling), JSON, JSON)
    return answer_of(name, prompt, content, time.monotonic() - began)


def answer_of(name: str, prompt: str, content: bytes, seconds: float) -> Answer:
    """Read a completion; nothing is an empty answer.

    Raises:
        CloudError: it is none.
    """
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
    return channel(aws, name).ask(payload_body(payload), TEXT, TEXT).decode("utf-8", "replace")


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
        """Read what is left; the whole answer.

        Raises:
            CloudError: it broke off.
        """
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


def invoke_stream(aws: Aws | None, name: str, prompt: str, **sampling: Any) -> AnswerStream:
    """Let an endpoint continue a text, and give the pieces as they arrive. Arguments are those of `invoke`.

    Nothing is sent before the first piece is asked for.

    Raises:
        UsageError: an option cannot work. The iterator raises what `invoke` does, and CloudError where the answer
            breaks off; what came before stands.
    """
    body = completion_body(prompt, sampling, stream=True)
    pieces = channel(aws, name).stream(body, JSON)
    return AnswerStream(name, prompt, pieces, dry=aws is not None and aws.dry)


def _events(pieces: Iterator[bytes], name: str) -> Iterator[str]:
    """The data of server-sent events, however they are cut.

    Raises:
        CloudError: what comes is no such stream.
    """
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
