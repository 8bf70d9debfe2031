"""The server's state, and what it serves: `/health`, `/metrics`, `/v1/models`."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from charloom.serving.context import context
from charloom.serving.errors import RETRY_AFTER, json_response
from charloom.serving.metrics import CONTENT_TYPE
from charloom.serving.models import Served
from charloom.serving.schema import describe_body

router = APIRouter()


class Health(BaseModel):
    """The server's state."""

    status: Literal["ok", "loading", "failed", "draining"]
    reason: str | None = None


class ModelEntry(BaseModel):
    """One model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models that are served."""

    object: Literal["list"]
    data: list[ModelEntry]


async def health(request: Request) -> Response:
    """Whether the server can answer; if not, why."""
    lifecycle = context(request).lifecycle
    if (reason := lifecycle.reason) is None:
        return json_response({"status": "ok"})
    return json_response({"status": lifecycle.status, "reason": reason}, 503, {"Retry-After": RETRY_AFTER})


_HEALTH: dict[str, Any] = {
    "response_model": None,
    "responses": {200: {"model": Health}, 503: {"model": Health, "description": "It cannot answer; says why."}},
    "summary": "Whether the server can answer.",
}
router.add_api_route("/health", health, methods=["GET"], **_HEALTH)
router.add_api_route("/ping", health, methods=["GET"], operation_id="ping", **_HEALTH)


@router.get("/metrics", response_model=None, summary="For Prometheus.", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    return Response(context(request).metrics.text(), media_type=CONTENT_TYPE)


@router.get("/v1/models", **describe_body(None, ModelList, "The models that are served."))
async def models(request: Request) -> Response:
    """The models that are served."""
    served = context(request).models
    return json_response({"object": "list", "data": [_entry(one) for one in served.values()]})


@router.get("/v1/models/{name}", **describe_body(None, ModelEntry, "One of the models.", refusals=(404,)))
async def model(request: Request, name: str) -> Response:
    """One of the models that are served."""
    return json_response(_entry(context(request).models.named(name)))


def _entry(served: Served) -> dict[str, Any]:
    return {"id": served.name, "object": "model", "created": served.created, "owned_by": "charloom"}
