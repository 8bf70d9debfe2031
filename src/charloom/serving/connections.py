"""Connections, bounded in number and in how long each may say or read nothing; and the `Accept` header.

`Accept` says which form of an answer a client prefers (RFC 9110, 12.5.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import h11
from h11._connection import DEFAULT_MAX_INCOMPLETE_EVENT_SIZE
from uvicorn.protocols.http.h11_impl import H11Protocol

from charloom.serving.errors import RETRY_AFTER, ApiError

_LOOK_EVERY = 5.0  # seconds
_OTHER_FILES = 64  # that the process has open: models, pages, the log
_FIRST_WORDS = b"HTTP/1.1 "
_RESET_WITHIN = 0.05  # seconds
_PROBE_AGAIN = 0.5  # seconds after the first, then twice as many after each

_HEAD_END = b"\r\n\r\n"
_LINE = re.compile(_HEAD_END + rb"|\n[ \t]|(?<!\r)\n")
_OVERLAP = len(_HEAD_END) - 1  # bytes that may be the beginning of what is sought

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


class _StrangeLineError(Exception):
    """A line of a head may be read otherwise by others: it is folded, or has no CR at its end."""


class _Heads(h11.Connection):
    """h11's own, which looks at every head of a connection before it reads it."""

    _looked_at = 0  # bytes of a head that is not whole

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.IDLE:
            self._look_at_head(self.trailing_data[0])
        return super().next_event()

    def _look_at_head(self, received: bytes) -> None:
        found = _LINE.search(received, max(0, self._looked_at - _OVERLAP))
        if found is not None and found[0] != _HEAD_END:
            raise _StrangeLineError
        self._looked_at = len(received) if found is None else 0


class Connection(H11Protocol):
    """uvicorn's own, with an eye on connections that do nothing, and on clients that only stop sending."""

    most: ClassVar[int]
    head_timeout: ClassVar[float]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = _Heads(h11.SERVER, self.config.h11_max_incomplete_event_size or DEFAULT_MAX_INCOMPLETE_EVENT_SIZE)
        self._looks = 0
        self._half_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        if len(self.connections) > self.most:
            transport.write(_raw(ApiError(503, "this server has as many connections as it may", code="full")))
            transport.close()
            return
        self._timer = self.loop.call_later(self.head_timeout, self._no_head)
        self._looking = self.loop.call_later(_LOOK_EVERY, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def handle_events(self) -> None:
        try:
            super().handle_events()
        except _StrangeLineError:
            self.send_400_response("end lines with CRLF, and begin none of the head with a space")

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._time_head()
        if self._half_closed and self.cycle.response_complete:
            self.transport.close()

    def _time_head(self) -> None:
        """Every head has its time, from its first byte; the first of a connection from the beginning."""
        if self.conn.their_state is not h11.IDLE:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None and self.conn.trailing_data[0]:
            self._timer = self.loop.call_later(self.head_timeout, self._no_head)

    def _no_head(self) -> None:
        """Close a connection whose request did not come, or not whole."""
        if not self.transport.is_closing():
            self.transport.write(_raw(ApiError(408, "no request came in time", code="request_timeout")))
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more: it may have gone, or it may wait for its answer.

        Only what is sent to it shows which: a client that has gone answers with a reset.
        """
        asked = self.cycle is not None and not self.cycle.response_complete
        if not asked or self.conn.their_state is h11.SEND_BODY:
            return False
        if not self._half_closed:
            self._half_closed = True
            self._answer = _Ahead(self.transport, b"" if self.cycle.response_started else _FIRST_WORDS)
            self.transport = self.cycle.transport = cast(asyncio.Transport, self._answer)
            self._probe(_PROBE_AGAIN)
            self._look_for_reset()
        return True

    def _probe(self, again: float) -> None:
        """Send a byte that every answer begins with; a client may still go later, so then another."""
        if not self.transport.is_closing() and self._answer.send_ahead():
            self.loop.call_later(again, self._probe, 2 * again)

    def _look_for_reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        if self.transport.is_closing() or connection.fileno() < 0:
            return
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
            return
        self.loop.call_later(_RESET_WITHIN, self._look_for_reset)

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


class _Ahead:
    """A transport that can send the first bytes of an answer before there is one."""

    def __init__(self, transport: asyncio.Transport, first: bytes) -> None:
        self._transport = transport
        self._first = first
        self._sent = 0

    def send_ahead(self) -> bool:
        """Send the next of the first bytes; whether there was one."""
        if self._sent == len(self._first):
            return False
        self._transport.write(self._first[self._sent : self._sent + 1])
        self._sent += 1
        return True

    def write(self, data: bytes) -> None:
        """Send an answer, without what was sent of it."""
        assert data.startswith(self._first)
        self._transport.write(data[self._sent :])
        self._first, self._sent = b"", 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def bounded_protocol(most: int, head_timeout: float) -> type[H11Protocol]:
    """A protocol for at most so many connections, each of which must send every head in time."""
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


def preferred_form(accept: str, offered: Sequence[str]) -> str:
    """The form that a client likes best; the first of those it likes equally, and where it says nothing or takes none.

    Args:
        accept: the header's value, such as `text/plain, application/json;q=0.5`.
        offered: media types in lower case, the usual one first.
    """
    ranges = [_range(part) for part in accept.lower().split(",") if part.strip()]
    return max(offered, key=lambda form: _quality(form, ranges)) if ranges else offered[0]


def _range(part: str) -> tuple[str, float]:
    """A media range and how much it is liked, from 0 to 1."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            return name, _number(parameter.removeprefix("q="))
    return name, 1.0


def _number(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def _quality(form: str, ranges: list[tuple[str, float]]) -> float:
    """How much a form is liked: by the range that names it most exactly; 0 where none does."""
    for pattern in (form, f"{form.partition('/')[0]}/*", "*/*"):
        found = [quality for name, quality in ranges if name == pattern]
        if found:
            return max(found)
    return 0.0
