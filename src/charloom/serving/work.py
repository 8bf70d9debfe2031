"""A completion at work: every limit is checked first, then its texts are submitted and cancelled together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from charloom.errors import CharloomError
from charloom.runtime.continuation import Bell, Continuation, ReadPosition
from charloom.runtime.logprobs import Chunk
from charloom.serving.concurrency import LARGE, LONG
from charloom.serving.context import Context
from charloom.serving.errors import ApiError, as_api_error, check_length
from charloom.serving.models import Served
from charloom.serving.requests import AS_MANY_AS_ALLOWED, CompletionRequest, Ids
from charloom.serving.settings import ServeSettings

_MANY = 64  # texts
_BYTES_A_TEXT = 256  # taken as so many characters, however short it is

_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "suffix": (None, ""),
    "presence_penalty": (None, 0, 0.0),
    "frequency_penalty": (None, 0, 0.0),
    "logit_bias": (None, {}),
}


@dataclass(frozen=True)
class CompletionPlan:
    """What is to be written.

    Attributes:
        served: by which model.
        prompts: what is continued, as text or ids.
        ids: how many ids each prompt has, as the model reads it.
        samples: continuations of each prompt.
        options: how they are drawn.
        alternatives: likeliest characters to name at each place; None names none and gives no log-probabilities.
        echo: the answer begins with the prompt.
        stream: the answer comes as it is written.
        usage: a stream sends the usage at its end.
        share: plans of one request have an equal one.
    """

    served: Served
    prompts: list[str] | list[Ids]
    ids: list[int]
    samples: int
    options: dict[str, Any] = field(repr=False)
    alternatives: int | None = None
    echo: bool = False
    stream: bool = False
    usage: bool = False
    share: object = None

    @property
    def prompt_tokens(self) -> int:
        """Characters of all prompts."""
        return sum(self.ids)

    @property
    def texts(self) -> int:
        """How many texts are written."""
        return len(self.prompts) * self.samples

    @property
    def probabilities(self) -> int:
        """How many the answer names, at most."""
        if self.alternatives is None:
            return 0
        about_prompts = self.prompt_tokens * self.samples if self.echo else 0
        return (about_prompts + self.most_written) * (self.alternatives + 1)

    @property
    def most_written(self) -> int:
        """How many characters all texts have, at most."""
        length: int = self.options["length"]
        return self.texts * length

    @property
    def large(self) -> bool:
        """Whether it takes so much memory that few like it may be answered at a time."""
        return max(self.prompt_tokens + self.most_written, self.probabilities, _BYTES_A_TEXT * self.texts) > LARGE

    @property
    def takes_long_to_begin(self) -> bool:
        """Whether asking the engine costs more than an event loop should spend at once."""
        return self.options.get("regex") is not None or self.prompt_tokens > LONG or self.texts > _MANY


def plan_completion(request: CompletionRequest, server: Context) -> CompletionPlan:
    """Check a request against the server's limits.

    Raises:
        ApiError: 400 naming the field that is wrong; 404, there is no such model; 503, it is not loaded.
    """
    settings = server.settings
    served = server.models.named(request.model)
    _check_unsupported(request)
    samples = 1 if request.n is None else request.n
    length = request.characters
    if length == AS_MANY_AS_ALLOWED:
        length = min(settings.max_tokens, max(1, settings.max_request_tokens // (len(request.prompt) * samples)))
    _at_most("n", samples, settings.max_samples)
    _at_most("max_tokens", length, settings.max_tokens)
    _at_most("logprobs", request.logprobs or 0, settings.max_logprobs)
    _check_stops(request.stop, settings)
    _check_prompts(request.prompt, served, settings)
    _check_texts(len(request.prompt), samples, length, settings)
    ids = [len(served.model.encode(one)) if isinstance(one, str) else len(one) for one in request.prompt]
    plan = CompletionPlan(
        served=served,
        prompts=request.prompt,
        ids=ids,
        samples=samples,
        options={"length": length, **_sampling(request)},
        alternatives=request.logprobs,
        echo=bool(request.echo),
        stream=bool(request.stream),
        usage=request.stream_options is not None and bool(request.stream_options.include_usage),
    )
    if plan.probabilities > settings.max_request_logprobs:
        raise _beyond("logprobs", "probabilities", plan.probabilities, "max_request_logprobs", settings)
    return plan


def _sampling(request: CompletionRequest) -> dict[str, Any]:
    """What is given of how texts are drawn; the rest is the model's own."""
    names = ("temperature", "top_p", "min_p", "seed", "stop", "regex")
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not None}
    if request.top_k is not None:
        given["top_k"] = max(0, request.top_k)
    return given


def _check_unsupported(request: CompletionRequest) -> None:
    for name, passed_over in _UNSUPPORTED.items():
        if getattr(request, name) not in passed_over:
            raise _unsupported(name, "leave it out")
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise _unsupported("best_of", "leave it out, or give the same as n")


def _unsupported(name: str, advice: str) -> ApiError:
    return ApiError(400, f"{name} is not supported: {advice}", param=name, code="unsupported_parameter")


def _at_most(name: str, value: int, most: int) -> None:
    if value > most:
        raise _bad(name, f"{name} = {value}: this server allows at most {most:,}")


def _check_texts(prompts: int, samples: int, length: int, settings: ServeSettings) -> None:
    """Hold what a request asks for in all to the limits."""
    if prompts * samples > settings.max_request_texts:
        raise _beyond("n", f"texts ({prompts:,} × {samples:,})", prompts * samples, "max_request_texts", settings)
    characters = prompts * samples * length
    if characters > settings.max_request_tokens:
        what = f"characters to write ({prompts:,} × {samples:,} × {length:,})"
        raise _beyond("max_tokens", what, characters, "max_request_tokens", settings)


def _beyond(param: str, what: str, value: int, limit: str, settings: ServeSettings) -> ApiError:
    """A request asks for too much in all: say what, and which option allows more."""
    option = f"--{limit.replace('_', '-')}"
    return _bad(param, f"{value:,} {what} in one request: this server allows {getattr(settings, limit):,} ({option})")


def _check_stops(stops: list[str] | None, settings: ServeSettings) -> None:
    if stops is None:
        return
    if len(stops) > settings.max_stops:
        raise _bad("stop", f"stop: {len(stops):,} texts, this server allows at most {settings.max_stops}")
    longest = max(map(len, stops), default=0)
    if longest > settings.max_stop_length:
        raise _bad("stop", f"stop: a text of {longest:,} characters, the limit is {settings.max_stop_length}")
    if "" in stops:
        raise _bad("stop", "stop: an empty text would end every answer at once")


def _check_prompts(prompts: list[str] | list[Ids], served: Served, settings: ServeSettings) -> None:
    if len(prompts) > settings.max_prompts:
        raise _bad("prompt", f"prompt: {len(prompts):,} of them, this server allows at most {settings.max_prompts}")
    characters = sum(map(len, prompts))
    if characters > settings.max_request_prompt and len(prompts) > 1:
        raise _beyond("prompt", "characters of prompts", characters, "max_request_prompt", settings)
    size = served.model.vocabulary.size
    for prompt in prompts:
        check_length("prompt", prompt, min(settings.max_prompt, settings.max_request_prompt))
        if not isinstance(prompt, str) and prompt and not (min(prompt) >= 0 and max(prompt) < size):
            raise _bad("prompt", f"prompt: the model's ids are those from 0 to {size - 1}")


def _bad(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param)


class RunningCompletion:
    """The texts of one request, choice by choice: all continuations of the first prompt, then of the next.

    As a context manager it gives up, on the way out, what has not ended, and counts what was written.

    Attributes:
        plan: what was asked.
        continuations: the texts.
    """

    def __init__(
        self,
        plan: CompletionPlan,
        continuations: list[Continuation],
        server: Context,
        noted: dict[str, Any] | None = None,
    ) -> None:
        """Follow continuations; use `start_completion` instead. `noted` receives, for the log, how it ended."""
        self.plan = plan
        self.continuations = continuations
        self._server = server
        self._noted = {} if noted is None else noted
        self._counted: set[Continuation] = set()

    def __enter__(self) -> RunningCompletion:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for continuation in self.continuations:
            continuation.cancel()
        for continuation in self.continuations:
            self.count(continuation)
        self._noted["completion_tokens"] = self.usage["completion_tokens"]
        self._noted["finish_reasons"] = sorted({str(one.finish_reason) for one in self.continuations})

    def count(self, continuation: Continuation) -> None:
        """Count a text that has ended, once: that takes its time, and is done as they end rather than in one go."""
        if continuation not in self._counted:
            self._counted.add(continuation)
            self._server.metrics.ended(self.plan.served.name, continuation, self.tokens_of(continuation))

    @property
    def unknown(self) -> str:
        """The prompts' characters that the model does not know."""
        return "".join(sorted({character for one in self.continuations for character in one.unknown}))

    def tokens_of(self, continuation: Continuation) -> int:
        """How many ids a text has so far; a stop text is not counted."""
        if self.plan.served.model.vocabulary.kind == "characters":
            return continuation.length
        return len(continuation.text.encode())

    @property
    def usage(self) -> dict[str, int]:
        """Characters read and written so far."""
        written = sum(map(self.tokens_of, self.continuations))
        read = self.plan.prompt_tokens
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def first_of_prompt(self, choice: int) -> str:
        """The first character of a choice's prompt as the model reads it; empty where there is none."""
        prompt = self.plan.prompts[choice // self.plan.samples]
        model = self.plan.served.model
        ids = model.encode(prompt[:64])[:1] if isinstance(prompt, str) else prompt[:1]
        return model.vocabulary.decoder()(ids[0]) if ids else ""

    async def ended(self) -> None:
        """Wait for all texts.

        Raises:
            CharloomError: one of them failed.
            ApiError: 503, the server gave them up.
        """
        for number, continuation in enumerate(self.continuations, start=1):
            await continuation.ended()
            if continuation.error is not None:
                raise continuation.error
            check_whole(continuation)
            self.count(continuation)
            if number % _MANY == 0:
                await asyncio.sleep(0)  # others may have something to do


def check_whole(continuation: Continuation) -> None:
    """Refuse a text that was given up by the server.

    Raises:
        ApiError: 503.
    """
    if continuation.finish_reason == "cancelled":
        raise ApiError(503, "the server is ending: the text was given up", code="draining")


async def start_completion(
    plan: CompletionPlan, server: Context, noted: dict[str, Any] | None = None
) -> RunningCompletion:
    """Ask the engine for all of a plan's texts, or for none of them.

    Raises:
        ApiError: 503, there is no room for them; 400, the pattern cannot be met.
    """
    try:
        if plan.takes_long_to_begin:
            continuations = await server.concurrency.read_in_thread(_submit, plan)
        else:
            continuations = _submit(plan)
    except CharloomError as error:
        shown = as_api_error(error, "regex" if plan.options.get("regex") is not None else None)
        if shown is None:
            raise
        server.metrics.refused(plan.served.name, shown.status)
        raise shown from None
    server.metrics.begun(plan.served.name, plan.prompt_tokens)
    return RunningCompletion(plan, continuations, server, noted)


def _submit(plan: CompletionPlan) -> list[Continuation]:
    return plan.served.engine.submit_all(
        plan.prompts,
        plan.samples,
        alternatives=plan.alternatives,
        prompt_alternatives=plan.alternatives if plan.echo else None,
        share=plan.share,
        **plan.options,
    )


async def merge_portions(
    continuations: list[Continuation], pause: float
) -> AsyncGenerator[tuple[int, Chunk | None], None]:
    """The portions of several texts as they come, each with its text's number; None where that text has ended.

    There is the first as soon as there is one, then what came in each `pause` seconds, or to the end. A reader that is
    slow holds the portions up, not the texts: they grow to no more than was asked for.

    Raises:
        CharloomError: one of the texts failed.
    """
    left = {number: ReadPosition() for number in range(len(continuations))}
    bell, begun = Bell(), False
    for continuation in continuations:
        continuation.listen(bell.ring)
    bell.ring()
    while left:
        await bell.heard()
        for number, position in list(left.items()):
            continuation = continuations[number]
            ended = continuation.done  # asked before the last of the text is taken
            while (chunk := continuation.next_chunk(position)) is not None:
                begun = True
                yield number, chunk
                await asyncio.sleep(0)  # others may have something to do
            if ended:
                if continuation.error is not None:
                    raise continuation.error
                del left[number]
                yield number, None
        if left and begun:
            await continuations[next(iter(left))].ended(pause)
