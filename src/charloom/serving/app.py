"""The app: its parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from charloom.runtime.model import Model
from charloom.serving import completions, health, inspection, invocations, tokenization
from charloom.serving.concurrency import ConcurrencyLimits
from charloom.serving.context import Context
from charloom.serving.errors import install
from charloom.serving.metrics import Metrics
from charloom.serving.middleware import Guard, Keys
from charloom.serving.models import Lifecycle, Models
from charloom.serving.origins import Origins
from charloom.serving.pages import add_pages
from charloom.serving.settings import ServeSettings
from charloom.version import __version__

_OPEN = frozenset({"/health", "/ping"})
_PARTS = (completions, tokenization, health, invocations, inspection)
_NO_PAGES: dict[str, Any] = dict.fromkeys(
    ("docs_url", "redoc_url", "openapi_url")
)  # of the framework: ours are `pages`


def create_app(
    models: Mapping[str, Model | str | Path], settings: ServeSettings | None = None, *, keys: Sequence[str] = ()
) -> FastAPI:
    """An app that serves models; they are loaded when it starts, and ended when it ends.

    `app.state.context` has its parts; `app.state.context.lifecycle.drain()` ends admission.

    Args:
        models: by the names that clients call them; models, or the folders they are in.
        settings: limits and times.
        keys: requests must carry one of them, if there are any.

    Raises:
        UsageError: there is no model.
    """
    settings = settings or ServeSettings()
    served = Models(models)
    concurrency = ConcurrencyLimits(settings.max_large, settings.request_timeout)
    server = Context(served, settings, Lifecycle(served), Metrics(served), concurrency)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        served.start(settings)
        try:
            yield
        finally:
            served.stop()

    app = FastAPI(title="charloom", version=__version__, lifespan=lifespan, redirect_slashes=False, **_NO_PAGES)
    app.state.context = server
    for part in _PARTS:
        app.include_router(part.router)
    for route in app.routes:  # FastAPI completes a router when it is first asked: now, and not on the event loop
        route.matches({"type": "http", "method": "GET", "path": "", "headers": []})
    install(app, [route.path for part in _PARTS for route in part.router.routes if isinstance(route, APIRoute)])
    pages = add_pages(app)
    app.add_middleware(Guard, server=server, keys=Keys(list(keys)), origins=Origins(settings), open_paths=_OPEN | pages)
    return app
