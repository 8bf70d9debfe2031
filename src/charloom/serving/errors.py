"""Errors as clients of text-generation servers read them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json
from collections.abc import Sequence, Sized
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from charloom.errors import BusyError, CharloomError, UsageError
from charloom.serving.requests import missing
from charloom.serving.url_paths import not_found_message
from charloom.wrong_values import explain

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    500: "server_error",
    503: "unavailable_error",
    504: "timeout_error",
}

RETRY_AFTER = "1"
"""Seconds after which a client may try again: a text takes about that long."""


class ApiError(Exception):
    """An error that a client sees.

    Attributes:
        status: of the answer.
        message: one line: what was wrong and what to do.
        param: the field it is about.
        code: a name for it that programs can compare.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Say `message`, with `status`."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """The documented shape."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """What goes with it."""
        if self.status == 503:
            return {"Retry-After": RETRY_AFTER}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}

    def response(self) -> Response:
        """The whole answer."""
        return json_response(self.body(), self.status, self.headers())


class ClientGoneError(Exception):
    """The client has gone away, so no answer is sent."""


def json_response(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Data as JSON, compact and in UTF-8."""
    return Response(json_text(data), status, headers, "application/json")


def json_text(data: object) -> str:
    """JSON as compact as it can be."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_api_error(error: CharloomError, param: str | None = None) -> ApiError | None:
    """Make the error that a client sees; None where the fault is the server's.

    Args:
        error: what was raised.
        param: the field that it must be about, where that is known.
    """
    if isinstance(error, BusyError):
        return ApiError(503, str(error), code="queue_full")
    return ApiError(400, str(error), param=param or error.setting) if isinstance(error, UsageError) else None


def invalid(error: ValidationError) -> ApiError:
    """A 400 naming the first field that is wrong."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return ApiError(
            400, f"the body is not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}", code="invalid_json"
        )
    if problem["type"] == "missing":
        field, sent = str(problem["loc"][-1]), error.errors(include_url=False, include_context=False)[0]["input"]
        return ApiError(400, missing(field, sent or ()), param=field)
    if not problem["loc"]:
        return ApiError(400, f"the body: {explain(error, in_file=True)}"[:500])
    return ApiError(400, explain(error, in_file=True)[:500], param=str(problem["loc"][0]))


def check_length(field: str, value: Sized, most: int, unit: str = "characters") -> None:
    """Refuse a field that is longer than this server reads.

    Raises:
        ApiError: 400.
    """
    if len(value) > most:
        message = f"{field}: {len(value):,} {unit}, this server allows at most {most:,}"
        raise ApiError(400, message, param=field, code="context_length_exceeded")


def server_error(identity: str) -> ApiError:
    """A 500 that can be found in the log, and says nothing more."""
    return ApiError(500, f"the server failed; its log says why, under the id {identity}", code=identity)


def install(app: FastAPI, addresses: Sequence[str]) -> None:
    """Let every refusal take the documented shape; `addresses` are those that clients may have meant."""

    @app.exception_handler(ApiError)
    async def answer_error(request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def answer_framework_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        words = str(error.detail)
        if error.status_code == 404:
            words = not_found_message(request.scope["path"], addresses)
        elif error.status_code == 405:
            headers["Allow"] = headers.get("Allow", "").replace("GET", "GET, HEAD")
            words = f"this address does not take {request.method}, but {headers['Allow']}"
        shown = ApiError(error.status_code, words)
        return json_response(shown.body(), error.status_code, {**headers, **shown.headers()})

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
        problem = error.errors()[0]
        return ApiError(400, str(problem["msg"]), param=str(problem["loc"][-1])).response()

    @app.exception_handler(CharloomError)
    async def answer_charloom_error(request: Request, error: CharloomError) -> Response:
        shown = as_api_error(error)
        if shown is None:
            raise error
        return shown.response()
