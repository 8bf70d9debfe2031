"""What clients get back: completions, whole or as events of a stream, and their log-probabilities."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from charloom.runtime.tokens import Token
from charloom.serving.jobs import Job


class LogProbabilities(BaseModel):
    """What the model thought of each character: natural logarithms, before temperature and filters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: LogProbabilities | None
    finish_reason: Literal["length", "stop"] | None
    seed: int


class Usage(BaseModel):
    """Characters read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """The answer to `POST /v1/completions`; the events of a stream have the same form."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


class ErrorBody(BaseModel):
    """What was wrong and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """Every answer whose status is 400 or more."""

    error: ErrorBody


class Frame:
    """What all parts of one answer begin with."""

    def __init__(self, model: str) -> None:
        """An answer with an id of its own."""
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def around(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> dict[str, Any]:
        """The whole of an answer, or of an event."""
        return {**self._head, "choices": choices, "usage": usage}


class Offsets:
    """Where a choice's characters stand in its text, over all parts of an answer."""

    def __init__(self) -> None:
        """Before the first."""
        self._place = 0

    def logprobs(self, tokens: Sequence[Token | None], first: str = "") -> dict[str, Any]:
        """The next tokens; None, the first of a prompt, has the character `first` and no probability."""
        offsets = []
        for token in tokens:
            offsets.append(self._place)
            self._place += len(first if token is None else token.text)
        return {
            "tokens": [first if token is None else token.text for token in tokens],
            "token_logprobs": [None if token is None else token.logprob for token in tokens],
            "top_logprobs": [None if token is None else _top(token) for token in tokens],
            "text_offset": offsets,
        }


def _top(token: Token) -> dict[str, float]:
    """The likeliest characters, and the one that came where it is not among them."""
    top: dict[str, float] = {}
    for text, logprob in token.top:
        top.setdefault(text, logprob)  # bytes that are no characters share a text: the likeliest stands
    top.setdefault(token.text, token.logprob)
    return top


def choice(
    job: Job, number: int, text: str, logprobs: dict[str, Any] | None, finish_reason: str | None
) -> dict[str, Any]:
    """One choice, or its news."""
    seed = job.continuations[number].seed
    return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish_reason, "seed": seed}


def whole_choice(job: Job, number: int) -> dict[str, Any]:
    """One choice whose text has ended."""
    continuation = job.continuations[number]
    text, logprobs = continuation.text, None
    if job.plan.alternatives is not None:
        about_prompt = continuation.prompt_tokens
        tokens: list[Token | None] = [*about_prompt, *continuation.tokens]
        logprobs = Offsets().logprobs(tokens, job.first_of_prompt(number))
    if job.plan.echo:
        text = continuation.prompt + text
    return choice(job, number, text, logprobs, continuation.finish_reason)


def completion(job: Job) -> dict[str, Any]:
    """The answer to a request whose texts have all ended."""
    frame = Frame(job.plan.served.name)
    return frame.around([whole_choice(job, number) for number in range(len(job.continuations))], job.usage)
