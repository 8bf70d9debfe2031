"""SageMaker's `/invocations`: completions or scores as JSON, a line each, or the article's plain text."""

from __future__ import annotations

import asyncio
import io
import math
import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.types import Scope

from charloom.errors import BusyError, CharloomError
from charloom.runtime.continuation import Continuation
from charloom.runtime.scores import Costliest, bits, bits_per_char
from charloom.runtime.scoring import as_line
from charloom.serving.completions import (
    OUT_OF_TIME,
    Streamed,
    answer_completion,
    client_error,
    plan_aside,
    unknown_header,
    unless_gone,
    wait_until_finished,
)
from charloom.serving.concurrency import LONG
from charloom.serving.connections import preferred_form
from charloom.serving.context import Context, context, notes
from charloom.serving.errors import ApiError, check_length, json_response, json_text
from charloom.serving.large_answers import json_answer
from charloom.serving.middleware import check_json, content_type, parse_aside, read_body
from charloom.serving.models import Served
from charloom.serving.openai import Completion, ErrorAnswer, build_answer
from charloom.serving.requests import CompletionRequest, InvocationRequest
from charloom.serving.schema import describe_body
from charloom.serving.work import CompletionPlan, RunningCompletion, check_whole, start_completion

LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")
_AT_ONCE = 32  # lines that are worked on at the same time: the engine's rows are others' too
_FULL = 0.02  # seconds before a line asks again where the queue is full
_SCORES = re.compile(r";\s*score\s*=\s*\"?true", re.I)  # application/jsonlines; score=true
_PAYLOAD = re.compile(r"\s*([0-9]{1,9})-(.*)", re.S)
_BYTES_A_CHARACTER = 4


class LineScore(BaseModel):
    """What a line costs: `nats` is −ln p of all of it, its end included where the model's texts have line ends.

    `worst_bits` is of the costliest character, `end_bits` of the line end, which is one of `characters`.
    """

    object: Literal["score"]
    model: str
    text: str
    characters: int
    unknown: int
    nats: float
    bits_per_char: float | None
    worst_bits: float | None
    end_bits: float | None


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
    check_length("prompt", text, server.settings.max_prompt)
    if len(text) <= LONG:
        return await _measure(text, served, share)
    ids = await server.concurrency.read_in_thread(_ids, text, served)
    return await _measure(text, served, share, ids)


def _ids(text: str, served: Served) -> list[int]:
    model = served.model
    return [model.vocabulary.opening_id, *model.encode(as_line(text, model.line_end))]


async def _measure(text: str, served: Served, share: object, ids: list[int] | None = None) -> dict[str, Any]:
    model = served.model
    with await _submit(served, ids or _ids(text, served), share) as continuation:
        await continuation
        check_whole(continuation)
        tokens = continuation.about_prompt
        assert tokens is not None
    nats, characters = 0.0 - math.fsum(tokens.logprobs), _characters(served, tokens.ids)
    costliest = Costliest(model.vocabulary)
    costliest.add(0.0 - np.asarray(tokens.logprobs), np.asarray(tokens.ids))
    return {
        "object": "score",
        "model": served.name,
        "text": text,
        "characters": characters,
        "unknown": sum(token == model.vocabulary.unknown_id for token in tokens.ids),
        "nats": nats,
        "bits_per_char": bits_per_char(nats, characters),
        "worst_bits": None if costliest.nats is None else bits(costliest.nats),
        "end_bits": bits(costliest.last) if model.line_end else None,
    }


async def _submit(served: Served, ids: list[int], share: object) -> Continuation:
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


router = APIRouter()

TEXT, JSON = "text/plain", "application/json"


def _declare_route() -> dict[str, Any]:
    declared = describe_body(InvocationRequest, Completion, "SageMaker's address: completions by content type.")
    text = {"schema": {"type": "string"}, "example": "100-you are "}
    declared["openapi_extra"]["requestBody"]["content"] |= {"application/jsonlines": text, "text/plain": text}
    declared["responses"][200]["model"] = Completion | LineScore
    declared["responses"][200]["content"] = {"application/jsonlines": {}, "text/plain": {}, "text/event-stream": {}}
    declared["responses"][500] = {"model": ErrorAnswer, "description": "The server failed."}
    return declared


@router.post("/invocations", **_declare_route())
async def invocations(request: Request) -> Response:
    """Answer by content type: JSON, JSON lines, or `<total length>-<start text>` as plain text."""
    server = context(request)
    server.lifecycle.check()
    name = content_type(request)
    if name in LINES:
        return await _lines(request, server)
    if name == TEXT:
        return await _continue_payload(request, server)
    if not name.endswith("json") and name:
        raise ApiError(415, f"send application/json, application/jsonlines or text/plain, not {name[:100]}")
    check_json(name)
    asked = await parse_aside(await read_body(request), InvocationRequest, server)
    return await (_score(request, asked, server) if asked.score else answer_completion(request, asked))


async def _score(request: Request, asked: InvocationRequest, server: Context) -> Response:
    try:
        async with asyncio.timeout(server.settings.request_timeout):
            return json_response(await unless_gone(request.receive, score_of(asked, server)))
    except TimeoutError:
        raise OUT_OF_TIME from None


async def _lines(request: Request, server: Context) -> Response:
    body = io.BytesIO(await read_body(request))
    scores = _SCORES.search(request.headers.get("content-type", "")) is not None
    return Streamed(
        _answers(body, server, request.scope, scores),
        json_text(OUT_OF_TIME.body()).encode() + b"\n",
        server.settings.request_timeout,
        LINES[0],
        {},
    )


async def _answers(body: io.BytesIO, server: Context, scope: Scope, scores: bool) -> AsyncGenerator[bytes, None]:
    """An answer for each line, in their order; some lines are worked on ahead."""
    lines = _Lines(server, scope, scores)
    tasks: deque[tuple[asyncio.Task[str], asyncio.Event]] = deque()
    try:
        while True:
            while len(tasks) < min(_AT_ONCE, server.settings.max_rows) and (line := body.readline()):
                turn = asyncio.Event()
                tasks.append((asyncio.create_task(lines.answer(line, turn)), turn))
            if not tasks:
                return
            task, turn = tasks[0]
            turn.set()
            answer = await task
            tasks.popleft()
            yield answer.encode() + b"\n"
    finally:
        for task, _ in tasks:
            task.cancel()
        await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)


class _Lines:
    """The lines of one request, which have one share of the rows."""

    def __init__(self, server: Context, scope: Scope, scores: bool) -> None:
        self._server = server
        self._scope = scope
        self._scores = scores  # whether a line that does not say so is measured
        self._share = object()

    async def answer(self, line: bytes, turn: asyncio.Event) -> str:
        """The answer to a line, as JSON; a large one is not begun before its turn to be sent."""
        try:
            asked = await parse_aside(line.strip(), InvocationRequest, self._server)
            if self._scores if asked.score is None else asked.score:
                return json_text(await score_of(asked, self._server, self._share))
            plan = replace(await plan_aside(asked, self._server), share=self._share)
            if plan.large:
                await turn.wait()
                await self._server.concurrency.admit(self._scope)
            with await _begin_patiently(plan, self._server) as running:
                await running.ended()
                return await build_answer(running, self._server)
        except ApiError as error:
            return json_text(error.body())
        except CharloomError as error:
            return json_text(client_error(error, notes(self._scope)["request_id"]).body())


async def _begin_patiently(plan: CompletionPlan, server: Context) -> RunningCompletion:
    """Ask until there is room: a line of many waits for its turn."""
    while True:
        try:
            return await start_completion(plan, server)
        except ApiError as error:
            if error.code != "queue_full":
                raise
            await asyncio.sleep(_FULL)


async def _continue_payload(request: Request, server: Context) -> Response:
    """The article's request: a start text continued to a total length."""
    total, start = _payload(await read_body(request))
    missing = total - len(start)
    most = server.settings.max_tokens
    if missing < 0:
        message = f"total length = {total:,}: the start text has {len(start):,} characters already, ask for more"
        raise ApiError(400, message, param="total length")
    if missing > most:
        message = f"total length = {total:,}: this server writes at most {most:,} characters after the start text"
        raise ApiError(400, message, param="total length")
    plan = await plan_aside(CompletionRequest(prompt=[start], max_tokens=missing, stop=[], echo=True), server)
    plan.options["regex"] = None  # exactly that length, whatever the model's own settings are
    in_bytes = plan.served.model.vocabulary.kind == "bytes"
    plan.options["length"] = missing * (_BYTES_A_CHARACTER if in_bytes else 1)
    running = await start_completion(plan, server)
    await wait_until_finished(request, running, server)
    headers = unknown_header(running.unknown)
    text = start + running.continuations[0].text[:missing]
    if preferred_form(",".join(request.headers.getlist("accept")), (TEXT, JSON)) == JSON:
        return json_answer(await build_answer(running, server, text), server, headers)
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type="text/plain; charset=utf-8")


def _payload(body: bytes) -> tuple[int, str]:
    """The total length and the start text of `<total length>-<start text>`.

    Raises:
        ApiError: 400, it is not such a text.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: byte {error.start} is not") from None
    found = _PAYLOAD.fullmatch(text)
    if found is None:
        raise ApiError(400, "send <total length>-<start text>, such as 100-you are", code="payload")
    return int(found[1]), found[2]
