"""`POST /v1/completions`: a whole answer, or server-sent events while the text is written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from charloom.errors import CharloomError
from charloom.runtime.logprobs import Chunk
from charloom.serving.concurrency import LONG
from charloom.serving.context import Context, context, notes
from charloom.serving.errors import ApiError, ClientGoneError, as_api_error, json_text, server_error
from charloom.serving.large_answers import json_answer
from charloom.serving.logs import LOGGER
from charloom.serving.middleware import read_json
from charloom.serving.openai import Completion, Frame, Offsets, build_answer, choice, prompt_tokens
from charloom.serving.requests import CompletionRequest
from charloom.serving.schema import describe_body
from charloom.serving.work import (
    CompletionPlan,
    RunningCompletion,
    check_whole,
    merge_portions,
    plan_completion,
    start_completion,
)

_log = logging.getLogger(LOGGER)
_TOKENS_AT_ONCE = 100  # of an echoed prompt, in one event
_LAST_WORDS = 1.0  # seconds to tell a client that its time is over; one that does not read is cut off

Result = TypeVar("Result")

OUT_OF_TIME = ApiError(504, "the answer took longer than this server allows", code="request_timeout")
UNKNOWN_SHOWN = 100  # characters
_DECLARED = describe_body(CompletionRequest, Completion, "Continue prompts.")


async def unless_gone(receive: Callable[[], Awaitable[Message]], work: Awaitable[Result]) -> Result:
    """Do work for a client, and stop it when the client goes away.

    Raises:
        ClientGoneError: it has gone away.
    """
    watching = asyncio.ensure_future(_wait_until_gone(receive))
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([watching, working], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (watching, working):
            task.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _wait_until_gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Streamed(Response):
    """An answer that is written piece by piece; it ends when its client goes away or its time is over."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        last_words: bytes,
        seconds: float,
        media_type: str,
        headers: Mapping[str, str],
        during: AbstractContextManager[object] | None = None,
    ) -> None:
        """Answer with pieces.

        Args:
            pieces: what is sent; closed in any case.
            last_words: what is sent when the time is over.
            seconds: the time for all of it, the client's reading included.
            media_type: of the answer.
            headers: besides the usual ones.
            during: is left when the answer has ended, however it ended.
        """
        super().__init__(status_code=200, headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces
        self._last_words = last_words
        self._seconds = seconds
        self._during = during or contextlib.nullcontext()
        self._whole = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        with self._during:
            try:
                async with asyncio.timeout(self._seconds):
                    await unless_gone(receive, self._send(send))
            except TimeoutError:
                if self._whole:  # its time was over just after its last piece
                    return
                notes(scope)["timeout"] = True
                await self._end(send)

    async def _end(self, send: Send) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await send({"type": "http.response.body", "body": self._last_words, "more_body": False})
        except TimeoutError:  # the client reads nothing: the connection is cut
            raise ClientGoneError from None

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._whole = True


def event(data: object) -> bytes:
    """One server-sent event."""
    return f"data: {json_text(data)}\n\n".encode()


def stream_completion(running: RunningCompletion, server: Context, identity: str, headers: dict[str, str]) -> Response:
    """The answer to a request with `stream`."""
    return Streamed(
        _events(running, server, identity),
        event(OUT_OF_TIME.body()),
        server.settings.request_timeout,
        "text/event-stream; charset=utf-8",
        {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers},
        running,
    )


async def _events(running: RunningCompletion, server: Context, identity: str) -> AsyncGenerator[bytes, None]:
    writer = _EventWriter(running)
    try:
        async with contextlib.aclosing(merge_portions(running.continuations, server.settings.coalesce / 1000)) as news:
            async for number, chunk in news:
                for data in writer.events(number, chunk):
                    yield event(data)
                    await asyncio.sleep(0)  # the echo of a long prompt is many events
                if chunk is None:
                    running.count(running.continuations[number])
    except ApiError as error:
        yield event(error.body())
        return
    except CharloomError as error:
        yield event(client_error(error, identity).body())
        return
    if running.plan.usage:
        yield event(writer.frame.around([], running.usage))
    yield b"data: [DONE]\n\n"


def client_error(error: CharloomError, identity: str) -> ApiError:
    """Make the error that a client sees in an answer that has begun; log the reason."""
    shown = as_api_error(error)
    if shown is None:
        _log.error("failed", extra={"request_id": identity, "reason": str(error)})
        shown = server_error(identity)
    return shown


class _EventWriter:
    """Makes events of the portions of a request's texts."""

    def __init__(self, running: RunningCompletion) -> None:
        self.frame = Frame(running.plan.served.name)
        self._running = running
        self._offsets = [Offsets() for _ in running.continuations]
        self._echoed = [not running.plan.echo for _ in running.continuations]

    def events(self, number: int, chunk: Chunk | None) -> Iterator[dict[str, Any]]:
        """What a portion gives rise to; None is the end of that text."""
        if not self._echoed[number]:
            self._echoed[number] = True
            yield from self._echo(number)
        if chunk is None:
            continuation = self._running.continuations[number]
            check_whole(continuation)
            yield self._event(number, "", None, continuation.finish_reason)
        else:
            logprobs = None
            if self._running.plan.alternatives is not None:
                logprobs = self._offsets[number].logprobs(chunk.tokens)
            yield self._event(number, chunk.text, logprobs, None)

    def _echo(self, number: int) -> Iterator[dict[str, Any]]:
        continuation = self._running.continuations[number]
        if self._running.plan.alternatives is None:
            yield self._event(number, continuation.prompt, None, None)
            return
        text, first = continuation.prompt, self._running.first_of_prompt(number)
        for tokens in prompt_tokens(continuation, _TOKENS_AT_ONCE):
            yield self._event(number, text, self._offsets[number].logprobs(tokens, first), None)
            text = ""

    def _event(self, number: int, text: str, logprobs: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
        return self.frame.around([choice(self._running, number, text, logprobs, reason)], None)


router = APIRouter()


_DECLARED["responses"][200]["content"] = {"text/event-stream": {}}


@router.post("/v1/completions", **_DECLARED)
async def completions(request: Request) -> Response:
    """Continue prompts, whole or as a stream."""
    server = context(request)
    server.lifecycle.check()
    return await answer_completion(request, await read_json(request, CompletionRequest))


async def answer_completion(request: Request, asked: CompletionRequest) -> Response:
    """The answer to a completions request, however it came.

    Raises:
        ApiError: it is refused, or takes too long.
        ClientGoneError: the client went away.
    """
    server = context(request)
    plan = await plan_aside(asked, server)
    if plan.large:
        await server.concurrency.admit(request.scope)
    _note(request, plan, server)
    running = await start_completion(plan, server, notes(request.scope))
    headers = unknown_header(running.unknown)
    if plan.stream:
        return stream_completion(running, server, notes(request.scope)["request_id"], headers)
    await wait_until_finished(request, running, server)
    return json_answer(await build_answer(running, server), server, headers)


async def plan_aside(asked: CompletionRequest, server: Context) -> CompletionPlan:
    """The plan for a request; that of a long one is made in a thread.

    Raises:
        ApiError: as `plan_completion`.
    """
    long = len(asked.prompt) > LONG or sum(map(len, asked.prompt)) > LONG
    return (
        await server.concurrency.read_in_thread(plan_completion, asked, server)
        if long
        else plan_completion(asked, server)
    )


async def wait_until_finished(request: Request, running: RunningCompletion, server: Context) -> None:
    """Wait until a request's texts have ended, its client has gone, or its time is over.

    Raises:
        ApiError: 504, the time is over; 503, the server gave the texts up.
        ClientGoneError: the client went away.
        CharloomError: one of the texts failed.
    """
    with running:
        try:
            async with asyncio.timeout(server.settings.request_timeout):
                await unless_gone(request.receive, running.ended())
        except TimeoutError:
            raise OUT_OF_TIME from None


def unknown_header(unknown: str) -> dict[str, str]:
    """The header that names the prompts' characters that the model does not know, if there are any."""
    return {"X-Charloom-Unknown": quote(unknown[:UNKNOWN_SHOWN], safe="")} if unknown else {}


def _note(request: Request, plan: CompletionPlan, server: Context) -> None:
    noted = notes(request.scope)
    noted |= {"model": plan.served.name, "prompt_tokens": plan.prompt_tokens, "choices": len(plan.prompts)}
    noted["choices"] *= plan.samples
    if server.settings.log_prompts:
        noted["prompts"] = plan.prompts
