"""Request bodies: read in bounded memory and time, then checked."""

from __future__ import annotations

import asyncio
import codecs
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from charloom.serving.context import Context, context
from charloom.serving.errors import ApiError, ClientGoneError, invalid
from charloom.serving.places import LARGE, LONG

Body = TypeVar("Body", bound=BaseModel)

_BYTES_A_CHARACTER = 12  # of a prompt in JSON, at most: two escapes
_OTHER_BYTES, _VALUES = 1 << 20, 1 << 16  # of all that is not prompts
_QUOTES = 20_000  # around names and texts: reading an object of many names takes long, and none is allowed so many


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
        async with asyncio.timeout(settings.seconds("request_timeout")):
            async for part in request.stream():
                size += len(part)
                if size > settings.max_body:
                    raise _too_large(settings.max_body)
                if size > LARGE:
                    await server.places.take(request.scope)
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
    return await read_parsed(await read_body(request), kind, context(request))


async def read_parsed(body: bytes, kind: type[Body], server: Context) -> Body:
    """A body's JSON as a checked request; what takes long is done in a thread.

    Raises:
        ApiError: as `parsed`; 400, it has more values than any request that is allowed.
    """
    if len(body) <= LONG:
        return parsed(body, kind)
    most = server.settings.max_request_prompt
    too_long = len(body) > _BYTES_A_CHARACTER * most + _OTHER_BYTES
    too_many = body.count(b",") > most + _VALUES or body.count(b'"') - body.count(b'\\"') > _QUOTES
    if too_long or too_many:
        message = f"the body has more than any request may ask: {most:,} characters of prompts (--max-request-prompt)"
        raise ApiError(400, message, code="context_length_exceeded")
    return await server.places.read(parsed, body, kind)


def parsed(body: bytes, kind: type[Body]) -> Body:
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
