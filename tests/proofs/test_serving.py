"""The server under clients of every kind, and in a flood. `scripts/prove` runs it; ten minutes, or
CHARLOOM_SOAK_SECONDS."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import charloom
import serving
from tests.proofs import clients
from tests.proofs.running import Running, running

SECONDS = float(os.environ.get("CHARLOOM_SOAK_SECONDS", "600"))
AT_ONCE = 48
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 600)]
OPTIONS = ("--max-queue", 16, "--request-timeout", "8s", "--head-timeout", "3s", "--quiet")


def alone(model: charloom.Model, seed: int) -> str:
    return model.generate(clients.PROMPT, length=clients.LENGTH, seed=seed).text


async def memory(server: Running, every: float) -> list[tuple[float, int]]:
    """Bytes of memory over time, until cancelled."""
    began, found = time.monotonic(), []
    try:
        while True:
            found.append((time.monotonic() - began, server.resident()))
            await asyncio.sleep(every)
    except asyncio.CancelledError:
        return found


async def soaked(crowd: clients.Crowd, server: Running) -> list[tuple[float, int]]:
    watching = asyncio.create_task(memory(server, SECONDS / 100))
    async with httpx.AsyncClient(base_url=server.address, timeout=clients.CALM) as crowd.client:
        await clients.soak(crowd, AT_ONCE, SECONDS)
    watching.cancel()
    return await watching


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.1)


def test_soak(trained: Path, tmp_path: Path) -> None:
    model = charloom.load(trained, precision="int8")
    texts = {seed: alone(model, seed) for seed in range(50)}
    with running(trained, *OPTIONS, log=tmp_path / "log") as server:
        crowd = clients.Crowd(server.port, texts, httpx.AsyncClient(), random.Random(1))
        sizes = asyncio.run(soaked(crowd, server))
        print(dict(crowd.seen), [(round(at), size >> 10) for at, size in sizes[::10]])  # noqa: T201
        assert not crowd.wrong
        assert all(crowd.seen[kind] for kind in ("whole", "streamed", "gone at once", "stopped reading", "garbage"))
        until(server.idle, 20)
        check_counters(server, crowd)
        check_memory(sizes)
        answer = httpx.post(f"{server.address}/v1/completions", json=crowd.body(seed=7)[1], timeout=30).json()
        assert answer["choices"][0]["text"] == texts[7]
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8")


def check_counters(server: Running, crowd: clients.Crowd) -> None:
    """All prompts of completions are equally long, so the characters read tell how many were begun."""
    begun = server.metric("prompt_tokens_total") / len(clients.PROMPT)
    ended = {name: server.metric("request_success_total", finished_reason=name) for name in ("length", "stop", "abort")}
    assert sum(ended.values()) == begun
    assert server.metric("request_failure_total") == 0
    assert server.metric("e2e_request_latency_seconds_count") == begun
    assert ended["length"] >= crowd.seen["whole"] + crowd.seen["streamed"]
    assert ended["abort"] >= crowd.seen["gone in the middle"] / 2


def check_memory(sizes: list[tuple[float, int]]) -> None:
    """After two minutes, or a third of a shorter time, memory grows no more."""
    settled = min(120, SECONDS / 3)
    middle = [size for at, size in sizes if at >= settled][:10]
    end = [size for _, size in sizes][-10:]
    assert max(end) < 1.05 * max(middle), f"{max(middle):,} bytes became {max(end):,}"


def test_flood_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand streams at once: none is lost, none mixed up; and many times the rate of the article's loop."""
    report = serving.measure([64], 200, 1000, 512)
    with capsys.disabled():
        serving.show(report)
    assert [row["wrong"] for row in (*report["ours"], report["flood"])] == [0, 0]
    assert report["flood"]["streams"] == 1000
    assert report["ours"][0]["characters_per_second"] >= 80 * report["article"][-1]["characters_per_second"]
