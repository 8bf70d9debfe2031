"""What every request passes: an id, a line in the log, safe headers; who asks is looked at; errors stay inside."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charloom.serving.addresses import in_one_form
from charloom.serving.auth import Keys
from charloom.serving.context import Context, notes
from charloom.serving.errors import ApiError, ClientGoneError, server_error
from charloom.serving.logs import LOGGER
from charloom.serving.origins import Origins

_log = logging.getLogger(LOGGER)
_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

_SAFE = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
CLIENT_GONE = 499
"""What the log says of a request whose client went away; nobody is sent it."""

_ASKED_OFTEN = frozenset({"/health", "/ping", "/metrics"})


class Guard:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, server: Context, keys: Keys, origins: Origins, open_paths: frozenset[str]) -> None:
        """Guard an app.

        Args:
            app: what answers.
            server: whose requests are counted.
            keys: one of them is asked for.
            origins: the names and pages that are answered.
            open_paths: addresses that need none.
        """
        self._app = app
        self._server = server
        self._keys = keys
        self._origins = origins
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, scope = scope["method"], in_one_form(scope, self._open)
        answer = _Answer(send, scope, method, self._origins.headers(Headers(scope=scope)))
        try:
            if scope["path"] in _ASKED_OFTEN:
                await self._answer(scope, receive, answer)
            else:
                with self._server.lifecycle.answering():
                    await self._answer(scope, receive, answer)
        finally:
            self._server.places.give_back(scope)
            answer.log(scope)

    def _answering(self, scope: Scope) -> ASGIApp:
        """What answers a request.

        Raises:
            ApiError: who asks may not.
        """
        headers = Headers(scope=scope)
        if (refused := _two_lengths(headers)) is not None:
            return refused
        self._origins.check(headers)
        if (allowed := self._origins.preflight(scope["method"], headers)) is not None:
            return allowed
        if scope["path"] not in self._open:
            self._keys.check(headers.get("authorization", "").encode("latin-1"))
        return self._app

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._answering(scope)(scope, receive, answer)
        except ApiError as error:
            await error.response()(scope, receive, answer)
        except ClientGoneError:
            answer.status = CLIENT_GONE
        except Exception:
            _log.exception("failed", extra={"request_id": answer.identity})
            if not answer.begun:  # otherwise the connection is closed: half an answer does not look whole
                await server_error(answer.identity).response()(scope, receive, answer)


def _two_lengths(headers: Headers) -> Response | None:
    """The refusal of a body with two lengths: a proxy may see another request in it (RFC 9112, 6.1)."""
    if "transfer-encoding" not in headers or "content-length" not in headers:
        return None
    refused = ApiError(400, "send Transfer-Encoding or Content-Length, not both", code="two_lengths").response()
    refused.headers["Connection"] = "close"
    return refused


class _Answer:
    """Passes an answer on with the headers that every one has, and remembers what the log will say."""

    def __init__(self, send: Send, scope: Scope, method: str, allowed: Mapping[str, str]) -> None:
        self.status = 0
        self._method = method
        self._headers = {**_SAFE, **allowed}
        self.begun = False
        given = Headers(scope=scope).get("x-request-id", "").encode("latin-1")
        self.identity = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        notes(scope)["request_id"] = self.identity
        self._send = send
        self._started = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.identity
            for name, value in self._headers.items():
                headers[name] = value
        await self._send(message)

    def log(self, scope: Scope) -> None:
        level = logging.DEBUG if scope["path"] in _ASKED_OFTEN else logging.INFO
        client: Any = scope.get("client")
        extra = {
            "method": self._method,
            "path": scope["path"][:200],
            "status": self.status or CLIENT_GONE,
            "milliseconds": round((time.perf_counter() - self._started) * 1000, 1),
            "client": client[0] if client else None,
            **notes(scope),
        }
        _log.log(level, "request", extra=extra)
