"""A request at work: its texts are asked for together, and given up together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from charloom.errors import CharloomError
from charloom.runtime.continuation import Bell, Continuation, Reader
from charloom.runtime.tokens import Chunk
from charloom.serving.context import Context
from charloom.serving.errors import ApiError, as_api_error
from charloom.serving.plans import Plan


class Job:
    """The texts of one request, choice by choice: all continuations of the first prompt, then of the next.

    As a context manager it gives up, on the way out, what has not ended, and counts what was written.

    Attributes:
        plan: what was asked.
        continuations: the texts.
    """

    def __init__(
        self, plan: Plan, continuations: list[Continuation], server: Context, noted: dict[str, Any] | None = None
    ) -> None:
        """Follow continuations; use `begun` instead. `noted` is told for the log how it ended."""
        self.plan = plan
        self.continuations = continuations
        self._server = server
        self._noted = {} if noted is None else noted

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for continuation in self.continuations:
            continuation.cancel()
        for continuation in self.continuations:
            self._server.metrics.ended(self.plan.served.name, continuation, self.tokens_of(continuation))
        self._noted["completion_tokens"] = self.usage["completion_tokens"]
        self._noted["finish_reasons"] = sorted({str(one.finish_reason) for one in self.continuations})

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
        return model.vocabulary.decoder().push(ids[0]) if ids else ""

    async def ended(self) -> None:
        """Wait for all texts.

        Raises:
            CharloomError: one of them failed.
            ApiError: 503, the server gave them up.
        """
        for continuation in self.continuations:
            await continuation.ended()
            if continuation.error is not None:
                raise continuation.error
            check_whole(continuation)


def check_whole(continuation: Continuation) -> None:
    """Refuse a text that was given up by the server.

    Raises:
        ApiError: 503.
    """
    if continuation.finish_reason == "cancelled":
        raise ApiError(503, "the server is ending: the text was given up", code="draining")


async def begun(plan: Plan, server: Context, noted: dict[str, Any] | None = None) -> Job:
    """Ask the engine for all of a plan's texts, or for none of them.

    Raises:
        ApiError: 503, there is no room for them; 400, the pattern cannot be met.
    """
    try:
        if plan.takes_long_to_begin:
            continuations = await server.places.read(_submitted, plan)
        else:
            continuations = _submitted(plan)
    except CharloomError as error:
        shown = as_api_error(error, "regex" if plan.options.get("regex") is not None else None)
        if shown is None:
            raise
        server.metrics.refused(plan.served.name, shown.status)
        raise shown from None
    server.metrics.begun(plan.served.name, plan.prompt_tokens)
    return Job(plan, continuations, server, noted)


def _submitted(plan: Plan) -> list[Continuation]:
    return plan.served.engine.submit_all(
        plan.prompts,
        plan.samples,
        alternatives=plan.alternatives,
        prompt_alternatives=plan.alternatives if plan.echo else None,
        share=plan.share,
        **plan.options,
    )


async def merged(continuations: list[Continuation], pause: float) -> AsyncGenerator[tuple[int, Chunk | None], None]:
    """The portions of several texts as they come, each with its text's number; None where that text has ended.

    There is the first as soon as there is one, then what came in each `pause` seconds, or to the end. A reader that is
    slow holds the portions up, not the texts: they grow to no more than was asked for.

    Raises:
        CharloomError: one of the texts failed.
    """
    left = {number: Reader() for number in range(len(continuations))}
    bell, begun = Bell(), False
    for continuation in continuations:
        continuation.listen(bell.ring)
    bell.ring()
    while left:
        await bell.heard()
        for number, reader in list(left.items()):
            continuation = continuations[number]
            ended = continuation.done  # asked before the last of the text is taken
            while (chunk := continuation.next_chunk(reader)) is not None:
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
