"""The largest requests that a server takes, of every kind, and how soon it answers small ones beside them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.proofs.running import Running

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/jsonlines"}
SMALL = {"prompt": "The ", "max_tokens": 20, "seed": 1}
HARD = "((.?){95}z?){95}"
AT_ONCE = {"many ids": 8, "an object": 8, "legal ids": 8, "refused": 20, "patterns": 32}


def _completion(**body: Any) -> tuple[str, bytes, dict[str, str]]:
    return "/v1/completions", json.dumps(body).encode(), JSON


def _score() -> tuple[str, bytes, dict[str, str]]:
    return "/api/score", json.dumps({"text": "The cat sat. " * 7_592}).encode(), JSON


def _ids() -> tuple[str, bytes, dict[str, str]]:
    return "/v1/completions", b'{"max_tokens": 1, "prompt": [' + b"1," * 12_000_000 + b"1]}", JSON


def _bias() -> tuple[str, bytes, dict[str, str]]:
    pairs = b",".join(b'"%d":1' % number for number in range(1_900_000))
    return "/v1/completions", b'{"prompt": "a", "logit_bias": {' + pairs + b"}}", JSON


def _legal_ids() -> tuple[str, bytes, dict[str, str]]:
    """As many ids as may be sent; the last is too many tokens, so that nothing is written."""
    prompts = [[1, 2] * 3_900] * 128
    return _completion(prompt=prompts, max_tokens=99_999)


def _lines() -> tuple[str, bytes, dict[str, str]]:
    line = json.dumps({"prompt": "The ", "max_tokens": 1000, "n": 8}).encode()
    return "/invocations", b"\n".join([line] * 5_000), LINES


KINDS: dict[str, Callable[[], tuple[str, bytes, dict[str, str]]]] = {
    "nothing": lambda: _completion(prompt="a", max_tokens=1),
    "texts": lambda: _completion(prompt=["a"] * 128, n=8, max_tokens=976),
    "long texts": lambda: _completion(prompt=["a"] * 64, n=1, max_tokens=10_000),
    "prompts": lambda: _completion(prompt=["The cat sat. " * 600] * 128, max_tokens=1),
    "logprobs": lambda: _completion(prompt="The cat sat. " * 3_600, echo=True, logprobs=20, max_tokens=10),
    "streams": lambda: _completion(prompt="a" * 40_000, echo=True, logprobs=20, max_tokens=5_000, stream=True),
    "scores": _score,
    "patterns": lambda: _completion(prompt="a", regex=HARD, max_tokens=9_500),
    "lines": _lines,
    "many ids": _ids,
    "an object": _bias,
    "legal ids": _legal_ids,
    "refused": lambda: _completion(prompt=["a"] * 128, n=64, max_tokens=1),
}


@dataclass
class Seen:
    """What a client saw beside the requests of one kind.

    Attributes:
        pings: seconds of each `/ping`.
        small: seconds of each request for 20 characters.
        resident: bytes of memory that the server held at most.
        statuses: how the large ones were answered, 0 where they were given up.
    """

    pings: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    resident: int = 0
    statuses: list[int] = field(default_factory=list)

    def line(self, kind: str) -> str:
        """For people."""
        statuses = ", ".join(f"{self.statuses.count(one)} × {one}" for one in sorted(set(self.statuses)))
        return (
            f"{kind:<12}small {max(self.small):6.3f} s   ping {max(self.pings):6.3f} s   "
            f"memory {self.resident >> 20:5,} MiB   {statuses}"
        )


async def beside(server: Running, kind: str, seconds: float, at_once: int = 4) -> Seen:
    """Ask for small things for so long, while other processes ask for large ones again and again."""
    seen = Seen()
    async with httpx.AsyncClient(base_url=server.address, timeout=600) as client:
        with _large(server, kind, AT_ONCE.get(kind, at_once), seen):
            watching = asyncio.create_task(_watch(server, seen))
            await asyncio.sleep(min(3, seconds / 2))
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(seen.small) < 3:
                for path, body, times in (("/ping", None, seen.pings), ("/v1/completions", SMALL, seen.small)):
                    began = time.perf_counter()
                    answer = await (client.get(path) if body is None else client.post(path, json=body))
                    times.append(time.perf_counter() - began)
                    assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.05)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return seen


async def _watch(server: Running, seen: Seen) -> None:
    while True:
        seen.resident = max(seen.resident, server.resident())
        await asyncio.sleep(0.1)


@contextmanager
def _large(server: Running, kind: str, at_once: int, seen: Seen) -> Iterator[None]:
    line = [sys.executable, "-m", "tests.proofs.load", server.address, kind, str(at_once)]
    with subprocess.Popen(line, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "asking\n"
            yield
        finally:
            process.terminate()
            seen.statuses += [int(line) for line in process.stdout]


async def ask(address: str, kind: str, at_once: int) -> None:
    """Ask for what is large, again and again; a line on stdout for each answer."""
    path, body, headers = KINDS[kind]()

    async def one(client: httpx.AsyncClient) -> None:
        while True:
            async with client.stream("POST", path, content=body, headers=headers) as answer:
                async for _ in answer.aiter_raw():
                    pass
            sys.stdout.write(f"{answer.status_code}\n")
            sys.stdout.flush()

    sys.stdout.write("asking\n")
    sys.stdout.flush()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(at_once)))


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], sys.argv[2], int(sys.argv[3])))
