"""Connections are bounded too: how many there are, and how long one may say nothing or read nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from charloom.serving.errors import RETRY_AFTER, ApiError

_LOOK_EVERY = 5.0  # seconds
_OTHER_FILES = 64  # that the process has open: models, pages, the log

ACCEPTED_AT_ONCE = 128
"""Connections that an event loop accepts before it looks at the first of them."""


def openable(most: int) -> int:
    """How many connections there can be, at most `most`: each takes a file descriptor, and these are limited.

    The process's limit is raised where it is too low and may be. Beyond it a connection could not even be refused:
    accepting it would fail over and over.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows, which has no such limit
        return most
    beside = ACCEPTED_AT_ONCE + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most + beside:
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            within = most + beside if hard == resource.RLIM_INFINITY else min(most + beside, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft - beside))


class Connection(H11Protocol):
    """uvicorn's own, with an eye on connections that do nothing."""

    most: ClassVar[int]
    head_timeout: ClassVar[float]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._looks = 0
        if len(self.connections) > self.most:
            transport.write(_raw(ApiError(503, "this server has as many connections as it may", code="full")))
            transport.close()
            return
        self._timer = self.loop.call_later(self.head_timeout, self._no_head)
        self._looking = self.loop.call_later(_LOOK_EVERY, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (getattr(self, "_timer", None), getattr(self, "_looking", None)):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _no_head(self) -> None:
        """Close a connection that has asked nothing."""
        asked = bool(self.cycle)  # None before the first request
        if not asked and not self.transport.is_closing():
            self.transport.write(_raw(ApiError(408, "no request came in time", code="request_timeout")))
            self.transport.close()

    def _look(self) -> None:
        """Cut off whoever neither reads what was sent before closing nor stops sending after the answer."""
        answered = bool(self.cycle) and self.cycle.response_complete
        stuck = self.transport.is_closing() or (answered and self.conn.their_state is h11.SEND_BODY)
        self._looks = self._looks + 1 if stuck else 0
        if self._looks > 2:
            self.transport.abort()
            return
        self._looking = self.loop.call_later(_LOOK_EVERY, self._look)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the documented shape."""
        self.transport.write(_raw(ApiError(400, f"this is not HTTP that can be answered: {msg}")))
        self.transport.close()


def bounded_protocol(most: int, head_timeout: float) -> type[H11Protocol]:
    """A protocol for at most so many connections, each of which must send the head of a request in time."""
    return type("Bounded", (Connection,), {"most": most, "head_timeout": head_timeout})


def _raw(error: ApiError) -> bytes:
    """A whole answer as it goes over the wire."""
    words: dict[int, str] = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}
    body: Any = json.dumps(error.body()).encode()
    head = [f"HTTP/1.1 {error.status} {words[error.status]}", "content-type: application/json", "connection: close"]
    if error.status == 503:
        head.append(f"retry-after: {RETRY_AFTER}")
    head.append(f"content-length: {len(body)}")
    whole: bytes = "\r\n".join(head).encode() + b"\r\n\r\n" + body
    return whole
