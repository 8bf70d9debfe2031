"""Where a server is in its life: loading, ready, failed, or ending."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from charloom.serving.errors import ApiError
from charloom.serving.models import Models

Status = Literal["ok", "loading", "failed", "draining"]


class Lifecycle:
    """What may be asked of the server just now, and how many requests are being answered.

    Attributes:
        requests: how many are being answered, not counting those that ask how the server is.
    """

    def __init__(self, models: Models) -> None:
        """Begin with models that may still be loading."""
        self._models = models
        self._draining = threading.Event()
        self.requests = 0

    def drain(self) -> None:
        """Take no more requests."""
        self._draining.set()

    @property
    def status(self) -> Status:
        """Where the server is."""
        if self._draining.is_set():
            return "draining"
        if self._models.failure is not None:
            return "failed"
        return "ok" if self._models.ready else "loading"

    @property
    def reason(self) -> str | None:
        """Why it is not ready, for people; None where it is."""
        status = self.status
        if status == "draining":
            return "the server is ending: it takes no more requests"
        if status == "failed":
            return f"a model could not be loaded: {self._models.failure}"
        return "the model is being loaded: try again soon" if status == "loading" else None

    def check(self) -> None:
        """Refuse what cannot be answered now.

        Raises:
            ApiError: 503, with the reason.
        """
        if (reason := self.reason) is not None:
            raise ApiError(503, reason, code=self.status)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request, while it is being answered; the server ends after it."""
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1
