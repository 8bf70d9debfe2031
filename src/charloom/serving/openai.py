"""What clients get back: completions, whole or as events of a stream, and their log-probabilities."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from charloom.runtime.continuation import Continuation
from charloom.runtime.logprobs import Token, Tokens
from charloom.serving.context import Context
from charloom.serving.errors import json_text
from charloom.serving.work import RunningCompletion

_AT_ONCE = 500  # tokens that become JSON together


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

    def pieces(self, choices: Iterable[Iterator[str]], usage: dict[str, int]) -> Iterator[str]:
        """The same as JSON in pieces, of choices that are pieces of JSON."""
        before, key, after = json_text(self.around([], usage)).rpartition('"choices":[')
        yield before + key
        for number, choice in enumerate(choices):
            if number:
                yield ","
            yield from choice
        yield after


class Offsets:
    """Where a choice's characters are in its text, over all parts of an answer."""

    def __init__(self) -> None:
        """Before the first."""
        self._place = 0

    def logprobs(self, tokens: Sequence[Token | None], first: str = "") -> dict[str, Any]:
        """The next tokens; None, the first of a prompt, has the character `first` and no probability."""
        return {
            "tokens": [first if token is None else token.text for token in tokens],
            "token_logprobs": [None if token is None else token.logprob for token in tokens],
            "top_logprobs": [None if token is None else _top(token) for token in tokens],
            "text_offset": self.next([first if token is None else token.text for token in tokens]),
        }

    def next(self, texts: Iterable[str]) -> list[int]:
        """Where the next texts begin."""
        offsets = []
        for text in texts:
            offsets.append(self._place)
            self._place += len(text)
        return offsets


def _top(token: Token) -> dict[str, float]:
    """The likeliest characters, and the one that came where it is not among them."""
    top: dict[str, float] = {}
    for text, logprob in token.top:
        top.setdefault(text, logprob)  # bytes that are not characters share a text: the likeliest is kept
    top.setdefault(token.text, token.logprob)
    return top


def choice(
    running: RunningCompletion, number: int, text: str, logprobs: dict[str, Any] | None, finish_reason: str | None
) -> dict[str, Any]:
    """One choice, or its news."""
    seed = running.continuations[number].seed
    return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish_reason, "seed": seed}


def _whole_choice(running: RunningCompletion, number: int, text: str | None) -> Iterator[str]:
    """One choice whose text has ended, as JSON in pieces."""
    continuation = running.continuations[number]
    if text is None:
        text = (continuation.prompt if running.plan.echo else "") + continuation.text
    whole = json_text(choice(running, number, text, None, continuation.finish_reason))
    if running.plan.alternatives is None:
        yield whole
        return
    before, key, after = whole.rpartition('"logprobs":')
    yield before + key + "{"
    offsets = Offsets()
    columns: dict[str, Callable[[list[Token | None]], list[Any]]] = {
        "tokens": lambda tokens: [first if token is None else token.text for token in tokens],
        "token_logprobs": lambda tokens: [None if token is None else token.logprob for token in tokens],
        "top_logprobs": lambda tokens: [None if token is None else _top(token) for token in tokens],
        "text_offset": lambda tokens: offsets.next(first if token is None else token.text for token in tokens),
    }
    first = running.first_of_prompt(number)
    for name, column in columns.items():
        yield f'{"" if name == "tokens" else ","}"{name}":['
        yield from _commas(json_text(column(tokens))[1:-1] for tokens in _tokens(continuation))
        yield "]"
    yield "}" + after.removeprefix("null")


def _tokens(continuation: Continuation) -> Iterator[list[Token | None]]:
    """What the model thought of an echoed prompt and of the text, some tokens at a time."""
    if continuation.about_prompt is not None:
        yield from prompt_tokens(continuation, _AT_ONCE)
    if continuation.about is not None:
        yield from _parts(continuation.about, _AT_ONCE)


def prompt_tokens(continuation: Continuation, at_once: int) -> Iterator[list[Token | None]]:
    """What the model thought of a prompt that has been read, `at_once` tokens at a time; None for the first."""
    yield [None] if continuation.prompt_is_read and continuation.about_prompt is not None else []
    if continuation.about_prompt is not None:
        yield from _parts(continuation.about_prompt, at_once)


def _parts(tokens: Tokens, at_once: int) -> Iterator[list[Token | None]]:
    for start in range(0, len(tokens), at_once):
        yield list(tokens.some(start, start + at_once))


def _commas(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a list, with commas between them."""
    between = ""
    for piece in filter(None, pieces):
        yield between + piece
        between = ","


def completion(running: RunningCompletion, text: str | None = None) -> str:
    """The answer to a request whose texts have all ended, as JSON; `text` is said instead of a single one."""
    frame = Frame(running.plan.served.name)
    choices = (_whole_choice(running, number, text) for number in range(len(running.continuations)))
    return "".join(frame.pieces(choices, running.usage))


async def build_answer(running: RunningCompletion, server: Context, text: str | None = None) -> str:
    """The same; a large one is made in a thread."""
    return (
        await server.concurrency.build_in_thread(completion, running, text)
        if running.plan.large
        else completion(running, text)
    )
