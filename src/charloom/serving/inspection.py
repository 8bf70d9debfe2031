"""What the playground shows besides text: a model's figures, surprise, and hidden units. Under `/api/`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from charloom.errors import BusyError, UsageError
from charloom.runtime.tokens import Token
from charloom.serving.bodies import read_json
from charloom.serving.context import Context, context
from charloom.serving.errors import ApiError, json_response
from charloom.serving.models import Served
from charloom.serving.requests import ActivationsRequest, ScoreRequest
from charloom.serving.schema import described
from charloom.serving.streams import OUT_OF_TIME, unless_gone

router = APIRouter(prefix="/api")

_TOP = 5
_HISTORY_LIMIT = 5_000


class ModelFacts(BaseModel):
    """A model's card and figures."""

    name: str
    precision: str
    config: dict[str, Any]
    losses: dict[str, Any]
    card: str | None
    history: list[dict[str, Any]]
    sampling: dict[str, Any]


class ScoredText(BaseModel):
    """What each character of a text costs, in bits, and the five likeliest in its place."""

    model: str
    characters: int
    unknown: int
    nats: float
    bits_per_char: float | None
    tokens: list[dict[str, Any]]


class UnitsOverText(BaseModel):
    """The hidden state of some units after each character of a text."""

    model: str
    layer: int
    layers: int
    hidden_size: int
    characters: list[str]
    units: list[dict[str, Any]]


@router.get("/models/{name}", **described(None, ModelFacts, "A model's card and figures.", refusals=(404, 503)))
async def facts(request: Request, name: str) -> Response:
    """A model's card, configuration, losses and training history."""
    served = context(request).models.named(name)
    return json_response(await anyio.to_thread.run_sync(_facts, served))


def _facts(served: Served) -> dict[str, Any]:
    model = served.model
    config = model.config.model_dump(mode="json")
    return {
        "name": served.name,
        "precision": str(model.precision),
        "config": config,
        "losses": config["losses"],
        "card": model.directory.read_card(),
        "history": [asdict(one) for one in model.directory.read_evaluations()[-_HISTORY_LIMIT:]],
        "sampling": model.sampling.model_dump(mode="json"),
    }


@router.post("/score", **described(ScoreRequest, ScoredText, "What each character of a text costs."))
async def score(request: Request) -> Response:
    """What each character of a text costs, as the model reads it, from the state after a line end."""
    server = context(request)
    server.lifecycle.check()
    asked = await read_json(request, ScoreRequest)
    served = server.models.named(asked.model)
    if len(asked.text) > server.settings.max_prompt:
        message = f"text: {len(asked.text):,} characters, this server allows at most {server.settings.max_prompt:,}"
        raise ApiError(400, message, param="text", code="context_length_exceeded")
    tokens = await _scored(request, server, served, asked.text)
    characters = _characters(served, tokens)
    nats = math.fsum(-token.logprob for token in tokens)
    unknown_id = served.model.vocabulary.unknown_id
    answer = {
        "model": served.name,
        "characters": len(characters),
        "unknown": sum(token.id == unknown_id for token in tokens),
        "nats": nats,
        "bits_per_char": nats / math.log(2) / len(characters) if characters else None,
        "tokens": characters,
    }
    return json_response(answer)


async def _scored(request: Request, server: Context, served: Served, text: str) -> list[Token]:
    """What the model thinks of each id of a text."""
    model = served.model
    ids = [model.vocabulary.opening_id, *model.encode(text)]
    try:
        continuation = served.engine.submit(ids, length=0, prompt_alternatives=_TOP, stop=[], regex=None)
    except BusyError as error:
        raise ApiError(503, str(error), code="queue_full") from None
    with continuation:
        try:
            async with asyncio.timeout(server.settings.seconds("request_timeout")):
                await unless_gone(request.receive, continuation.ended())
        except TimeoutError:
            raise OUT_OF_TIME from None
    await continuation  # raises what failed
    return [token for token in continuation.prompt_tokens if token is not None]


def _characters(served: Served, tokens: list[Token]) -> list[dict[str, Any]]:
    """Tokens as characters: of bytes, those of one character are taken together."""
    decoder = served.model.vocabulary.decoder()
    found: list[dict[str, Any]] = []
    nats, top = 0.0, None
    for token in tokens:
        nats -= token.logprob
        if top is None:
            top = [{"text": text, "probability": math.exp(logprob)} for text, logprob in token.top]
        text = decoder.push(token.id)
        if text:
            found.append({"text": text, "bits": nats / math.log(2), "top": top})
            nats, top = 0.0, None
    if top is not None:
        found.append({"text": "\N{REPLACEMENT CHARACTER}", "bits": nats / math.log(2), "top": top})
    return found


@router.post("/activations", **described(ActivationsRequest, UnitsOverText, "Hidden units over a text."))
async def activations(request: Request) -> Response:
    """The hidden state of some units, or of the most variable ones, after each character of a text."""
    server = context(request)
    server.lifecycle.check()
    asked = await read_json(request, ActivationsRequest)
    served = server.models.named(asked.model)
    model = served.model
    try:
        async with server.looking:
            found = await anyio.to_thread.run_sync(
                lambda: model.activations(asked.text, layer=asked.layer, units=asked.units)
            )
    except UsageError as error:
        raise ApiError(400, str(error), param=str(error).partition(":")[0].partition(" ")[0]) from None
    shape = model.config.model
    values = found.values.T.astype(float).round(4).tolist()
    answer = {
        "model": served.name,
        "layer": found.layer,
        "layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "characters": list(found.characters),
        "units": [{"unit": unit, "values": row} for unit, row in zip(found.units, values, strict=True)],
    }
    return json_response(answer)
