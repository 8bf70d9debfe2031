"""What every request passes: its id, log line and API key, safe headers, a body in bounded memory and time."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.serving.concurrency import LARGE, LONG
from charloom.serving.context import Context, context, notes
from charloom.serving.errors import ApiError, ClientGoneError, invalid, server_error
from charloom.serving.logs import LOGGER
from charloom.serving.origins import Origins
from charloom.serving.settings import API_KEYS
from charloom.serving.url_paths import normalize_path

Body = TypeVar("Body", bound=BaseModel)

_BYTES_A_CHARACTER = 12  # of a prompt in JSON, at most: two escapes
_OTHER_BYTES, _VALUES = 1 << 20, 1 << 16  # of all that is not prompts
_QUOTES = 20_000  # around names and texts: reading an object of many names takes long, and none is allowed so many

_FILE_LIMIT = 1 << 20
_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SAFE = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
CLIENT_GONE = 499
"""The status in the log of a request whose client went away; it is not sent."""
_ASKED_OFTEN = frozenset({"/health", "/ping", "/metrics"})


async def read_body(request: Request) -> bytes:
    """The whole body, of whatever type.

    Raises:
        ApiError: 408, it comes too slowly; 413, it is too large, as its head says or as it turns out.
        ClientGoneError: the client went away.
    """
    server = context(request)
    settings = server.settings
    _check_size(request.headers.get("content-length"), settings.max_body)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "send the body as it is: a content encoding is not supported")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.request_timeout):
            async for part in request.stream():
                size += len(part)
                if size > settings.max_body:
                    raise _too_large(settings.max_body)
                if size > LARGE:
                    await server.concurrency.admit(request.scope)
                parts.append(part)
    except TimeoutError:
        raise ApiError(408, "the body did not come in time", code="request_timeout") from None
    except ClientDisconnect:
        raise ClientGoneError from None
    return b"".join(parts)


async def read_json(request: Request, kind: type[Body]) -> Body:
    """The body as a checked request.

    Raises:
        ApiError: 415, it is not called JSON; 400, it is none, or not what `kind` says; as `read_body`.
    """
    check_json(content_type(request))
    return await parse_aside(await read_body(request), kind, context(request))


async def parse_aside(body: bytes, kind: type[Body], server: Context) -> Body:
    """A body's JSON as a checked request; what takes long is done in a thread.

    Raises:
        ApiError: as `parse_body`; 400, it has more values than any request that is allowed.
    """
    if len(body) <= LONG:
        return parse_body(body, kind)
    most = server.settings.max_request_prompt
    too_long = len(body) > _BYTES_A_CHARACTER * most + _OTHER_BYTES
    too_many = body.count(b",") > most + _VALUES or body.count(b'"') - body.count(b'\\"') > _QUOTES
    if too_long or too_many:
        message = f"the body has more than any request may ask: {most:,} characters of prompts (--max-request-prompt)"
        raise ApiError(400, message, code="context_length_exceeded")
    return await server.concurrency.read_in_thread(parse_body, body, kind)


def parse_body(body: bytes, kind: type[Body]) -> Body:
    """A body's JSON as a checked request.

    Raises:
        ApiError: 400, it is not JSON, or not what `kind` says.
    """
    try:
        return kind.model_validate_json(body.removeprefix(codecs.BOM_UTF8))  # which some editors put first
    except ValidationError as error:
        raise invalid(error) from None


def content_type(request: Request) -> str:
    """What the body is called, in lower case and without parameters; empty if it has no name.

    Raises:
        ApiError: 415, a page sends it and does not say: so pages can send what they like to servers of others.
    """
    name = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not name and "origin" in request.headers:
        raise ApiError(415, "say what the body is: Content-Type: application/json")
    return name


def check_json(name: str) -> None:
    """Refuse what is not called JSON; what has no name may be.

    Raises:
        ApiError: 415.
    """
    if name not in ("", "application/json") and not (name.startswith("application/") and name.endswith("+json")):
        raise ApiError(415, f"send application/json, not {name[:100]}")


def _check_size(length: str | None, limit: int) -> None:
    if length is not None and (not length.isdecimal() or len(length) > 18 or int(length) > limit):
        raise _too_large(limit)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit:,} bytes", code="body_too_large")


def read_keys(file: Path | None, environment: Mapping[str, str]) -> list[str]:
    """The keys that requests may carry; none of them means that all are let in.

    Raises:
        UsageError: the file cannot be read, or holds no key; the environment's setting is there and holds none.
    """
    keys = [key for part in environment.get(API_KEYS, "").split(",") if (key := part.strip())]
    if not keys and API_KEYS in environment:
        raise UsageError(f"{API_KEYS} is set and holds no key, so that everybody could ask: give one, or unset it")
    if file is not None:
        try:
            with expand_home(file).open(encoding="utf-8-sig") as opened:  # some editors put a mark first
                lines = opened.read(_FILE_LIMIT).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot read --api-key-file {file}: {reason}") from None
        held = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not held:
            raise UsageError(f"--api-key-file {file} holds no key: write one a line")
        keys += held
    return keys


class Keys:
    """Keys that let a request in. Only their digests are kept."""

    def __init__(self, keys: list[str]) -> None:
        """Let in whoever has one of `keys`; everybody, if there is none.

        Raises:
            UsageError: one of them is empty.
        """
        if not all(key.strip() for key in keys):
            raise UsageError("a key is empty: everybody has that one")
        self._digests = [_digest(key.encode()) for key in keys]

    def check(self, authorization: bytes | None) -> None:
        """Look at an Authorization header.

        Raises:
            ApiError: 401, keys are asked for and this is none.
        """
        if not self._digests:
            return
        scheme, _, key = (authorization or b"").partition(b" ")
        digest = _digest(key.strip())
        known = [hmac.compare_digest(digest, one) for one in self._digests]  # all of them: the time tells nothing
        if scheme.lower() != b"bearer" or not any(known):
            raise ApiError(401, "give one of the server's keys: Authorization: Bearer KEY", code="invalid_api_key")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


_log = logging.getLogger(LOGGER)


class Guard:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, server: Context, keys: Keys, origins: Origins, open_paths: frozenset[str]) -> None:
        """Guard an app.

        Args:
            app: what answers.
            server: whose requests are counted.
            keys: one of them is asked for.
            origins: the names and pages that are answered.
            open_paths: addresses that need no key.
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
        method, scope = scope["method"], normalize_path(scope, self._open)
        answer = _Answer(send, scope, method, self._origins.headers(Headers(scope=scope)))
        try:
            if scope["path"] in _ASKED_OFTEN:
                await self._answer(scope, receive, answer)
            else:
                with self._server.lifecycle.answering():
                    await self._answer(scope, receive, answer)
        finally:
            self._server.concurrency.release(scope)
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
