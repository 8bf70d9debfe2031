"""Concurrency limits: few large requests at a time and few threads for long work, so that small requests never wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from charloom.serving.errors import ApiError

LARGE = 32_768
"""Characters of a request, or probabilities that it asks for, from which on it counts as large."""

LONG = 16_384
"""Bytes or characters from which on they are worked on in a thread: an event loop does less in a few milliseconds."""

_ADMITTED = "charloom.admitted"

Result = TypeVar("Result")


class ConcurrencyLimits:
    """The limits of one server.

    A large request counts from when its body is read until its answer is sent, so memory is bounded. Threads are few
    too: they take the processor from the engines, and from the event loop.
    """

    def __init__(self, large: int, seconds: float) -> None:
        """So many large requests at a time; another waits at most so long."""
        self._large = asyncio.Semaphore(large)
        self._seconds = seconds
        self._reading = anyio.CapacityLimiter(1)
        self._building = anyio.CapacityLimiter(1)

    async def admit(self, scope: Any) -> None:
        """Wait until the large request of this scope is admitted, unless it has been.

        Raises:
            ApiError: 503, others took all the time.
        """
        if _ADMITTED in scope:
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._large.acquire()
        except TimeoutError:
            raise ApiError(503, "other large requests take all the time: try again later", code="queue_full") from None
        scope[_ADMITTED] = True

    def release(self, scope: Any) -> None:
        """The request of this scope has been answered."""
        if scope.pop(_ADMITTED, False):
            self._large.release()

    async def read_in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Work in a thread on what came: a body, a pattern, prompts."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._reading)

    async def build_in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Work in a thread on what is sent."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._building)
