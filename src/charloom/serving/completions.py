"""`POST /v1/completions`."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from charloom.serving.answers import Completion, built
from charloom.serving.bodies import read_json
from charloom.serving.context import Context, context, notes
from charloom.serving.jobs import Job, begun
from charloom.serving.large_answers import json_answer
from charloom.serving.places import LONG
from charloom.serving.plans import Plan, planned
from charloom.serving.requests import CompletionRequest
from charloom.serving.schema import described
from charloom.serving.streams import OUT_OF_TIME, streamed_completion, unless_gone

router = APIRouter()

UNKNOWN_SHOWN = 100  # characters

_DECLARED = described(CompletionRequest, Completion, "Continue prompts.")
_DECLARED["responses"][200]["content"] = {"text/event-stream": {}}


@router.post("/v1/completions", **_DECLARED)
async def completions(request: Request) -> Response:
    """Continue prompts, whole or as a stream."""
    server = context(request)
    server.lifecycle.check()
    return await answered(request, await read_json(request, CompletionRequest))


async def answered(request: Request, asked: CompletionRequest) -> Response:
    """The answer to a completions request, however it came.

    Raises:
        ApiError: it is refused, or takes too long.
        ClientGoneError: the client went away.
    """
    server = context(request)
    plan = await planned_aside(asked, server)
    if plan.large:
        await server.places.take(request.scope)
    _note(request, plan, server)
    job = await begun(plan, server, notes(request.scope))
    headers = unknown_header(job.unknown)
    if plan.stream:
        return streamed_completion(job, server, notes(request.scope)["request_id"], headers)
    await finished(request, job, server)
    return json_answer(await built(job, server), server, headers)


async def planned_aside(asked: CompletionRequest, server: Context) -> Plan:
    """The plan for a request; that of a long one is made in a thread.

    Raises:
        ApiError: as `planned`.
    """
    long = len(asked.prompt) > LONG or sum(map(len, asked.prompt)) > LONG
    return await server.places.read(planned, asked, server) if long else planned(asked, server)


async def finished(request: Request, job: Job, server: Context) -> None:
    """Wait until a request's texts have ended, its client has gone, or its time is over.

    Raises:
        ApiError: 504, the time is over; 503, the server gave the texts up.
        ClientGoneError: the client went away.
        CharloomError: one of the texts failed.
    """
    with job:
        try:
            async with asyncio.timeout(server.settings.seconds("request_timeout")):
                await unless_gone(request.receive, job.ended())
        except TimeoutError:
            raise OUT_OF_TIME from None


def unknown_header(unknown: str) -> dict[str, str]:
    """The header that names the prompts' characters that the model does not know, if there are any."""
    return {"X-Charloom-Unknown": quote(unknown[:UNKNOWN_SHOWN], safe="")} if unknown else {}


def _note(request: Request, plan: Plan, server: Context) -> None:
    noted = notes(request.scope)
    noted |= {"model": plan.served.name, "prompt_tokens": plan.prompt_tokens, "choices": len(plan.prompts)}
    noted["choices"] *= plan.samples
    if server.settings.log_prompts:
        noted["prompts"] = plan.prompts
