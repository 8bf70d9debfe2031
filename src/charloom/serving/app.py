"""The app: its parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from charloom.runtime.model import Model
from charloom.serving import completions, health, inspection, invocations, tokenization
from charloom.serving.auth import Keys
from charloom.serving.context import Context
from charloom.serving.errors import install
from charloom.serving.guard import Guard
from charloom.serving.lifecycle import Lifecycle
from charloom.serving.metrics import Metrics
from charloom.serving.models import Models
from charloom.serving.pages import add_pages
from charloom.serving.settings import ServeSettings
from charloom.version import __version__

_OPEN = frozenset({"/health", "/ping"})


def create_app(
    models: Mapping[str, Model | str | Path], settings: ServeSettings | None = None, *, keys: Sequence[str] = ()
) -> FastAPI:
    """An app that serves models; they are loaded when it starts, and ended when it ends.

    `app.state.context` has its parts; `app.state.context.lifecycle.drain()` ends admission.

    Args:
        models: by the names that clients call them; models, or the folders they stand in.
        settings: limits and times.
        keys: requests must carry one of them, if there are any.

    Raises:
        UsageError: there is no model.
    """
    settings = settings or ServeSettings()
    served = Models(models)
    server = Context(served, settings, Lifecycle(served), Metrics(served))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        served.start(settings)
        try:
            yield
        finally:
            served.stop()

    app = FastAPI(
        title="charloom", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.context = server
    install(app)
    for part in (completions, tokenization, health, invocations, inspection):
        app.include_router(part.router)
    pages = add_pages(app)
    app.add_middleware(Guard, server=server, keys=Keys(list(keys)), open_paths=_OPEN | pages)
    _let_in(app, settings.cors_origin)
    return app


def _let_in(app: FastAPI, origins: list[str]) -> None:
    """Let the pages of these origins call the app; outermost, so that they can read refusals too."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "X-Charloom-Unknown", "Retry-After"],
        )
