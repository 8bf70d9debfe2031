"""Answers that may be large: they are sent as fast as the client reads, in the time that a request has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from charloom.serving.context import Context
from charloom.serving.errors import ClientGoneError

_PIECE = 1 << 18  # bytes that are sent together


class LargeAnswer(Response):
    """An answer that is sent piece by piece; a client that does not read it in time is cut off."""

    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(self.seconds):
                for start in range(0, len(self.body), _PIECE):
                    piece = bytes(self.body[start : start + _PIECE])
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await asyncio.sleep(0)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            raise ClientGoneError from None


def json_answer(text: str, server: Context, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is JSON already."""
    kind = Response if len(text) <= _PIECE else LargeAnswer
    answer = kind(text, 200, headers, "application/json")
    if isinstance(answer, LargeAnswer):
        answer.seconds = server.settings.request_timeout
    return answer
