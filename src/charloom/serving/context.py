"""What the handlers of one server share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from charloom.serving.concurrency import ConcurrencyLimits
from charloom.serving.metrics import Metrics
from charloom.serving.models import Lifecycle, Models
from charloom.serving.settings import ServeSettings

_NOTES = "charloom.notes"


@dataclass(frozen=True)
class Context:
    """A server's parts.

    Attributes:
        models: what it serves.
        settings: its limits and times.
        lifecycle: whether it takes requests.
        metrics: what it counts.
        concurrency: for what takes long or much memory.
        looking: lets the hidden units of one text at a time be looked at, which takes a thread for a second.
    """

    models: Models
    settings: ServeSettings
    lifecycle: Lifecycle
    metrics: Metrics
    concurrency: ConcurrencyLimits
    looking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def notes(scope: Any) -> dict[str, Any]:
    """What the log will say of a request, besides how it was answered."""
    found: dict[str, Any] = scope.setdefault(_NOTES, {})
    return found


def context(request: Request) -> Context:
    """The parts of the server that a request has come to."""
    found: Context = request.app.state.context
    return found
