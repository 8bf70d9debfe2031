"""What takes long or much memory has places of its own, a few of them, so that small requests never wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from charloom.serving.errors import ApiError

LARGE = 32_768
"""Characters of a request, or probabilities that it asks for, from which on it takes a place."""

LONG = 16_384
"""Bytes or characters from which on they are worked on in a thread: an event loop does less in a few milliseconds."""

_PLACE = "charloom.place"

Result = TypeVar("Result")


class Places:
    """The places of one server.

    A large request keeps its place from when its body is read until its answer is sent, so memory is bounded. Threads
    are few too: they take the processor from the engines, and from the event loop.
    """

    def __init__(self, large: int, seconds: float) -> None:
        """So many large requests at a time; another waits at most so long."""
        self._large = asyncio.Semaphore(large)
        self._seconds = seconds
        self._reading = anyio.CapacityLimiter(1)
        self._building = anyio.CapacityLimiter(1)

    async def take(self, scope: Any) -> None:
        """Wait for a place for the request of this scope, unless it has one.

        Raises:
            ApiError: 503, none became free in time.
        """
        if _PLACE in scope:
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._large.acquire()
        except TimeoutError:
            raise ApiError(503, "other large requests take all the time: try again later", code="queue_full") from None
        scope[_PLACE] = True

    def give_back(self, scope: Any) -> None:
        """The request of this scope has been answered."""
        if scope.pop(_PLACE, False):
            self._large.release()

    async def read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Work in a thread on what came: a body, a pattern, prompts."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._reading)

    async def build(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Work in a thread on what is sent."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._building)
