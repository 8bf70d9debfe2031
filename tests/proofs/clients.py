"""Clients of every kind, good and bad, that a server must survive. Each kind is a coroutine that makes one request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PROMPT = "The "
LENGTH = 60
CALM = httpx.Timeout(120)


@dataclass
class Crowd:
    """What the clients of one server share.

    Attributes:
        port: where it listens.
        texts: by seed, what the model writes alone after `PROMPT`.
        client: for those that behave.
        luck: decides what is left open.
        seen: how often what happened.
        wrong: what must not have happened.
    """

    port: int
    texts: dict[int, str]
    client: httpx.AsyncClient
    luck: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, what: str, true: bool = True, detail: object = "") -> None:
        """Note that something happened; where it is not true, it should not have."""
        self.seen[what] += 1
        if not true and len(self.wrong) < 20:
            self.wrong.append(f"{what}: {str(detail)[:300]}")

    def body(self, **options: Any) -> tuple[int, dict[str, Any]]:
        """A request with a seed whose text is known."""
        seed = self.luck.choice(list(self.texts))
        return seed, {"prompt": PROMPT, "max_tokens": LENGTH, "seed": seed, **options}

    def refused(self, response: httpx.Response, kind: str) -> bool:
        """Whether the server is full, which it may be; it must say so in the documented way."""
        if response.status_code == 200:
            return False
        documented = response.status_code == 503 and "retry-after" in response.headers
        self.count(f"{kind} refused", documented, f"{response.status_code} {response.text}")
        return True


async def whole(crowd: Crowd) -> None:
    """A text that is waited for."""
    seed, body = crowd.body()
    response = await crowd.client.post("/v1/completions", json=body)
    if not crowd.refused(response, "whole"):
        text = response.json()["choices"][0]["text"]
        crowd.count("whole", text == crowd.texts[seed], text)


async def streamed(crowd: Crowd) -> None:
    """A text that is read as it is written, with log-probabilities now and then."""
    seed, body = crowd.body(stream=True, logprobs=crowd.luck.choice([None, None, 3]))
    async with crowd.client.stream("POST", "/v1/completions", json=body) as response:
        lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
    if response.status_code != 200:
        crowd.count("streamed refused", response.status_code == 503, response.status_code)
        return
    text = "".join(json.loads(line[6:])["choices"][0]["text"] for line in lines[:-1])
    crowd.count("streamed", text == crowd.texts[seed] and lines[-1] == "data: [DONE]", text)


async def other_routes(crowd: Crowd) -> None:
    """What is asked besides completions."""
    path, body = crowd.luck.choice(
        [
            ("/tokenize", {"prompt": "a b"}),
            ("/detokenize", {"tokens": [0, 1]}),
            ("/api/score", {"text": "The time"}),
            ("/api/activations", {"text": "The time"}),
        ]
    )
    response = await crowd.client.post(path, json=body)
    if not crowd.refused(response, "other route"):
        crowd.count("other route")
    crowd.count("health", (await crowd.client.get("/health")).status_code == 200)


async def gone_in_the_middle(crowd: Crowd) -> None:
    """Reads some events of a long stream, then goes."""
    _, body = crowd.body(stream=True)
    request = crowd.client.stream("POST", "/v1/completions", json={**body, "max_tokens": 8_000})
    async with request as response:
        if response.status_code != 200:
            crowd.count("gone in the middle refused", response.status_code == 503, response.status_code)
            return
        left = crowd.luck.randint(1, 6)
        async for line in response.aiter_lines():
            left -= line.startswith("data: ")
            if not left:
                break
    crowd.count("gone in the middle")


def _raw(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@contextlib.asynccontextmanager
async def _connected(crowd: Crowd, buffer: int | None = None) -> Any:
    """A connection that is reset, not closed, at the end."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, ("127.0.0.1", crowd.port))
        yield connection
    finally:
        connection.close()


async def gone_at_once(crowd: Crowd) -> None:
    """Asks, and goes before the first character."""
    async with _connected(crowd) as connection:
        _, body = crowd.body(stream=crowd.luck.random() < 0.5)
        await asyncio.get_running_loop().sock_sendall(connection, _raw({**body, "max_tokens": 8_000}))
        await asyncio.sleep(crowd.luck.choice([0, 0.001, 0.02]))
    crowd.count("gone at once")


async def half_open(crowd: Crowd) -> None:
    """Sends a part of a request and waits, or shuts its sending side after a whole one."""
    async with _connected(crowd) as connection:
        _, body = crowd.body(stream=True)
        request = _raw(body)
        part = crowd.luck.choice([0, 10, 60, len(request) - 3, len(request)])
        await asyncio.get_running_loop().sock_sendall(connection, request[:part])
        if part == len(request):
            connection.shutdown(socket.SHUT_WR)
        await asyncio.sleep(crowd.luck.uniform(0, 4))
    crowd.count("half-open")


async def stops_reading(crowd: Crowd) -> None:
    """Asks for a long stream into a small buffer, reads a little, then nothing."""
    async with _connected(crowd, buffer=2048) as connection:
        _, body = crowd.body(stream=True, logprobs=5)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, _raw({**body, "max_tokens": 4_000}))
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(5):
                await loop.sock_recv(connection, 500)
        await asyncio.sleep(crowd.luck.uniform(1, 12))
    crowd.count("stopped reading")


GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"GET /nowhere HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
    b'POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n{"prompt": "\xff"}',
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n" + b"[" * 12,
    b"DELETE /v1/completions HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n" * 1000,
)


async def garbage(crowd: Crowd) -> None:
    """Sends what is no request, or none that can be met; the answer, if there is one, begins with 4."""
    sent = crowd.luck.choice([*GARBAGE, crowd.luck.randbytes(crowd.luck.randint(1, 3_000))])
    async with _connected(crowd) as connection:
        loop, answer = asyncio.get_running_loop(), b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                await loop.sock_sendall(connection, sent)
                answer = await loop.sock_recv(connection, 4_000)
    crowd.count("garbage", not answer or answer.startswith(b"HTTP/1.1 4"), answer)


KINDS: dict[Callable[[Crowd], Awaitable[None]], int] = {
    whole: 4,
    streamed: 6,
    other_routes: 1,
    gone_in_the_middle: 3,
    gone_at_once: 3,
    half_open: 3,
    stops_reading: 2,
    garbage: 3,
}
"""Every kind, with its share."""


async def soak(crowd: Crowd, at_once: int, seconds: float) -> None:
    """Let so many clients at once, of random kinds, make requests for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def one_after_another() -> None:
        while loop.time() < end:
            (kind,) = crowd.luck.choices(list(KINDS), list(KINDS.values()))
            try:
                await kind(crowd)
            except (httpx.HTTPError, OSError) as error:
                crowd.count(f"{kind.__name__} failed", False, repr(error))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
