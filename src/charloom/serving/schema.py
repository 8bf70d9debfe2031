"""`/openapi.json`: our handlers read bodies themselves, so they say themselves what these hold."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from charloom.serving.openai import ErrorAnswer
from charloom.serving.requests import (
    ActivationsRequest,
    CompletionRequest,
    DetokenizeRequest,
    InvocationRequest,
    ScoreRequest,
    TokenizeRequest,
)
from charloom.version import __version__

_REQUESTS: tuple[type[BaseModel], ...] = (
    CompletionRequest,
    InvocationRequest,
    TokenizeRequest,
    DetokenizeRequest,
    ScoreRequest,
    ActivationsRequest,
)
_REFERENCE = "#/components/schemas/{model}"


def describe_body(
    body: type[BaseModel] | None, answer: type[BaseModel] | None, summary: str, *, refusals: tuple[int, ...] = ()
) -> dict[str, Any]:
    """How a route is declared that reads its body itself.

    Args:
        body: what it reads, as JSON.
        answer: what it answers, as JSON.
        summary: what it does.
        refusals: statuses besides the usual ones of a route with such a body.
    """
    usual = (400, 401, 403, 404, 408, 413, 415, 503, 504) if body is not None else (401, 403, *refusals)
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": "Refused."} for status in usual
    }
    if answer is not None:
        responses[200] = {"model": answer, "description": "The answer."}
    declared: dict[str, Any] = {"response_model": None, "responses": responses, "summary": summary}
    if body is not None:
        content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=body.__name__)}}}
        declared["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return declared


def openapi(app: FastAPI) -> dict[str, Any]:
    """The description of a server."""
    found = get_openapi(
        title="charloom",
        version=__version__,
        description="Text from character-level language models. A token is one character.",
        routes=app.routes,
        servers=[{"url": "."}],  # from where this is read on, which a proxy may show under any address
    )
    _, definitions = models_json_schema([(kind, "validation") for kind in _REQUESTS], ref_template=_REFERENCE)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas |= definitions["$defs"]
    for unused in ("HTTPValidationError", "ValidationError"):  # ours have another form
        schemas.pop(unused, None)
    for path in found["paths"].values():
        for operation in path.values():
            operation.get("responses", {}).pop("422", None)
    return found
