"""What a text costs, as one of many requests in a batch: sums alone, where `/api/score` tells of every character."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from charloom.errors import BusyError
from charloom.runtime.continuation import Continuation
from charloom.runtime.scoring import bits_per_char
from charloom.serving.context import Context
from charloom.serving.errors import ApiError
from charloom.serving.jobs import check_whole
from charloom.serving.models import Served
from charloom.serving.places import LONG
from charloom.serving.requests import InvocationRequest

_FULL = 0.02  # seconds before asking again where the queue is full


class LineScore(BaseModel):
    """What a text costs: `nats` is −ln p of all of it; an empty text has no bits per character."""

    object: Literal["score"]
    model: str
    text: str
    characters: int
    unknown: int
    nats: float
    bits_per_char: float | None


async def score_of(request: InvocationRequest, server: Context, share: object = None) -> dict[str, Any]:
    """What a prompt costs, read as `charloom score` reads a line; waits for its turn where others are before it.

    Scores of one request have an equal `share`.

    Raises:
        ApiError: 400, it is not one text, or too long; 404, there is no such model; 503, it is not loaded.
        CharloomError: the model failed.
    """
    served = server.models.named(request.model)
    if len(request.prompt) != 1 or not isinstance(text := request.prompt[0], str):
        raise ApiError(400, "prompt: a score is of one text", param="prompt")
    if len(text) > server.settings.max_prompt:
        message = f"prompt: {len(text):,} characters, this server allows at most {server.settings.max_prompt:,}"
        raise ApiError(400, message, param="prompt", code="context_length_exceeded")
    if len(text) <= LONG:
        return await _measured(text, served, share)
    ids = await server.places.read(_ids, text, served)
    return await _measured(text, served, share, ids)


def _ids(text: str, served: Served) -> list[int]:
    return [served.model.vocabulary.opening_id, *served.model.encode(text)]


async def _measured(text: str, served: Served, share: object, ids: list[int] | None = None) -> dict[str, Any]:
    model = served.model
    with await _submitted(served, ids or _ids(text, served), share) as continuation:
        await continuation
        check_whole(continuation)
        tokens = continuation.about_prompt
        assert tokens is not None
    nats, characters = 0.0 - math.fsum(tokens.logprobs), _characters(served, tokens.ids)
    return {
        "object": "score",
        "model": served.name,
        "text": text,
        "characters": characters,
        "unknown": sum(token == model.vocabulary.unknown_id for token in tokens.ids),
        "nats": nats,
        "bits_per_char": bits_per_char(nats, characters),
    }


async def _submitted(served: Served, ids: list[int], share: object) -> Continuation:
    asked: dict[str, Any] = {"length": 0, "prompt_alternatives": 0, "stop": [], "regex": None}
    while True:
        try:
            return served.engine.submit_all([ids], share=share, **asked)[0]
        except BusyError:
            await asyncio.sleep(_FULL)


def _characters(served: Served, ids: Sequence[int]) -> int:
    """How many characters ids are: of bytes, several may be one."""
    if served.model.vocabulary.kind == "characters":
        return len(ids)
    return len(bytes(list(ids)).decode("utf-8", "replace"))
