from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from charloom.serving.completions import Streamed


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"all of it"


def test_an_answer_that_is_whole_is_not_ended_again_when_its_time_is_over() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)  # the time is over while the watch over the client is called off
            raise

    answer = Streamed(pieces(), b"out of time", 0.1, "text/plain", {})
    asyncio.run(answer({"type": "http"}, receive, send))
    assert [message.get("body") for message in sent] == [None, b"all of it", b""]
