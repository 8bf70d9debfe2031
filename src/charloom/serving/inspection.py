"""What the playground shows besides text: a model's figures, surprise, and hidden units. Under `/api/`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from charloom.errors import BusyError
from charloom.runtime.continuation import Continuation
from charloom.runtime.gates import unit_gates
from charloom.runtime.introduction import describe, reading_rules
from charloom.runtime.logprobs import Tokens
from charloom.serving.completions import OUT_OF_TIME, unless_gone
from charloom.serving.concurrency import LARGE, LONG
from charloom.serving.context import Context, context
from charloom.serving.errors import ApiError, check_length, json_text
from charloom.serving.large_answers import json_answer
from charloom.serving.middleware import read_json
from charloom.serving.models import Served
from charloom.serving.requests import ActivationsRequest, ScoreRequest
from charloom.serving.schema import describe_body
from charloom.serving.work import check_whole
from charloom.text.cleaning import clean_prompt

router = APIRouter(prefix="/api")

_TOP = 5
_AT_ONCE = 500  # tokens that become JSON together
_HISTORY_LIMIT = 5_000


class ModelFacts(BaseModel):
    """A model's card and figures."""

    name: str
    precision: str
    config: dict[str, Any]
    losses: dict[str, Any]
    card: str | None
    history: list[dict[str, Any]]
    curve: dict[str, list[tuple[int, float]]]
    sampling: dict[str, Any]
    intro: str
    parameters: int
    vocabulary: dict[str, str]
    cleaning: list[str]


class ModelIntroduction(BaseModel):
    """Prompts to try, and units that follow something a person can name."""

    prompts: list[str]
    units: list[dict[str, Any]]


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


@router.get("/models/{name}", **describe_body(None, ModelFacts, "A model's card and figures.", refusals=(404, 503)))
async def facts(request: Request, name: str) -> Response:
    """A model's card, configuration, losses and training history."""
    served = context(request).models.named(name)
    return json_answer(await anyio.to_thread.run_sync(lambda: json_text(_facts(served))), context(request))


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
        "curve": asdict(model.directory.read_curve()),
        "sampling": model.sampling.model_dump(mode="json"),
        "intro": describe(model.config),
        "parameters": model.config.model.parameters,
        **reading_rules(model.directory),
    }


@router.get(
    "/models/{name}/introduction",
    **describe_body(None, ModelIntroduction, "Prompts to try and units with a name.", refusals=(404, 503)),
)
async def introduction(request: Request, name: str) -> Response:
    """Prompts that the model's own texts often begin with, and the units that follow something a person can name."""
    server = context(request)
    served = server.models.named(name)
    async with server.looking:
        found = await anyio.to_thread.run_sync(served.introduction)
    return json_answer(json_text(asdict(found)), server)


@router.post("/score", **describe_body(ScoreRequest, ScoredText, "What each character of a text costs."))
async def score(request: Request) -> Response:
    """What each character of a text costs, as the model reads it, from the state after a line end."""
    server = context(request)
    server.lifecycle.check()
    asked = await read_json(request, ScoreRequest)
    served = server.models.named(asked.model)
    check_length("text", asked.text, server.settings.max_prompt)
    if len(asked.text) * (_TOP + 1) > LARGE:
        await server.concurrency.admit(request.scope)
    tokens = await _score_text(request, server, served, asked.text)
    answer = (
        scored_text(served, tokens, asked.text)
        if len(tokens) < LONG
        else await server.concurrency.build_in_thread(scored_text, served, tokens, asked.text)
    )
    return json_answer(answer, server)


async def _score_text(request: Request, server: Context, served: Served, text: str) -> Tokens:
    """What the model thinks of each id of a text."""

    def submitted() -> Continuation:
        ids = [served.model.vocabulary.opening_id, *served.model.encode(text)]
        return served.engine.submit(ids, length=0, prompt_alternatives=_TOP, stop=[], regex=None)

    try:
        continuation = submitted() if len(text) < LONG else await server.concurrency.read_in_thread(submitted)
    except BusyError as error:
        raise ApiError(503, str(error), code="queue_full") from None
    with continuation:
        try:
            async with asyncio.timeout(server.settings.request_timeout):
                await unless_gone(request.receive, continuation.ended())
        except TimeoutError:
            raise OUT_OF_TIME from None
    await continuation  # raises what failed
    check_whole(continuation)
    assert continuation.about_prompt is not None
    return continuation.about_prompt


def scored_text(served: Served, tokens: Tokens, text: str) -> str:
    """The answer, as JSON; characters that the model does not know are those of `text`, as it was cleaned."""
    parts, characters = [], 0
    cleaned = clean_prompt(text, served.model.config.corpus.cleaning)
    unknown = set(served.model.vocabulary.unknown_characters(cleaned))
    named = (character for character in cleaned if character in unknown)
    for some in _characters(served, tokens):
        for token in some:
            if token.get("unknown"):
                token["text"] = next(named)
        parts.append(json_text(some)[1:-1])
        characters += len(some)
    nats = 0.0 - math.fsum(tokens.logprobs)
    unknown_id = served.model.vocabulary.unknown_id
    head = {
        "model": served.name,
        "characters": characters,
        "unknown": sum(token == unknown_id for token in tokens.ids),
        "nats": nats,
        "bits_per_char": nats / math.log(2) / characters if characters else None,
    }
    return f'{json_text(head)[:-1]},"tokens":[{",".join(parts)}]}}'


def _characters(served: Served, tokens: Tokens) -> Iterator[list[dict[str, Any]]]:
    """Tokens as characters, some at a time: of bytes, those of one character are taken together."""
    decode, unknown_id = served.model.vocabulary.decoder(), served.model.vocabulary.unknown_id
    nats, top = 0.0, None
    for start in range(0, len(tokens), _AT_ONCE):
        found: list[dict[str, Any]] = []
        for token in tokens.some(start, start + _AT_ONCE):
            nats -= token.logprob
            if top is None:
                top = [{"text": text, "probability": math.exp(logprob)} for text, logprob in token.top]
            text = decode(token.id)
            if text:
                character = {"text": text, "bits": nats / math.log(2), "top": top}
                found.append({**character, "unknown": True} if token.id == unknown_id else character)
                nats, top = 0.0, None
        if found:
            yield found
    if top is not None:
        yield [{"text": "\N{REPLACEMENT CHARACTER}", "bits": nats / math.log(2), "top": top}]


@router.post("/activations", **describe_body(ActivationsRequest, UnitsOverText, "Hidden units over a text."))
async def activations(request: Request) -> Response:
    """The hidden state of some units, or of the most variable ones, after each character of a text."""
    server = context(request)
    server.lifecycle.check()
    asked = await read_json(request, ActivationsRequest)
    served = server.models.named(asked.model)
    async with server.looking:
        answer = await anyio.to_thread.run_sync(_units_over_text, served, asked)
    return json_answer(answer, server)


def _units_over_text(served: Served, asked: ActivationsRequest) -> str:
    """The answer, as JSON."""
    model = served.model
    found = model.activations(asked.text, layer=asked.layer, units=asked.units)
    head = {
        "model": served.name,
        "layer": found.layer,
        "layers": model.config.model.num_layers,
        "hidden_size": model.config.model.hidden_size,
        "characters": list(found.characters),
    }
    values = found.values.T.astype(float).round(4)
    units = [{"unit": unit, "values": row.tolist()} for unit, row in zip(found.units, values, strict=True)]
    if asked.units is not None and len(units) == 1:
        gates = unit_gates(
            model.directory, np.array(model.encode(asked.text), dtype=np.int64), found.layer, found.units[0]
        )
        units[0]["gates"] = {name: row.round(4).tolist() for name, row in gates.items()}
    return f'{json_text(head)[:-1]},"units":[{",".join(map(json_text, units))}]}}'
