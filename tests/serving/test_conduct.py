"""Under load: bounded, and whoever leaves frees what was held for them."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from charloom.runtime.model import Model
from charloom.runtime.rows import Row
from tests.serving.conftest import Gated, events, idle, metric, raw_request, serving, until

GatedModel = tuple[Model, Gated]
LONG: dict[str, Any] = {"prompt": "The ", "max_tokens": 10_000, "seed": 1}


def taken(client: httpx.Client) -> float:
    """Rows and places in the queue."""
    return metric(client, "num_requests_running") + metric(client, "num_requests_waiting")


def test_a_full_queue_is_a_503_with_a_time(gated: GatedModel) -> None:
    model, session = gated
    with serving({"small": model}, max_rows=2, max_queue=3, max_samples=2) as client:
        session.gate.clear()
        body = json.dumps({"prompt": "a", "max_tokens": 3}).encode()
        connections = [raw_request(client, body) for _ in range(5)]
        until(lambda: taken(client) == 5)
        answer = client.post("/v1/completions", json={"prompt": ["a", "b"], "max_tokens": 3})
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "unavailable_error"
        assert int(answer.headers["retry-after"]) >= 1
        assert client.post("/api/score", json={"text": "abc"}).status_code == 503
        assert metric(client, "request_refused_total", status="503") == 1
        session.gate.set()
        for connection in connections:  # none of those that were let in is lost
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            connection.close()
        assert client.post("/v1/completions", content=body, headers={"content-type": "application/json"}).is_success


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_character(gated: GatedModel, stream: bool) -> None:
    model, session = gated
    with serving({"small": model}, max_rows=2, max_samples=2) as client:
        session.gate.clear()
        connections = [raw_request(client, json.dumps({**LONG, "stream": stream}).encode()) for _ in range(5)]
        until(lambda: taken(client) == 5)
        for connection in connections:
            connection.close()
        until(lambda: metric(client, "request_success_total", finished_reason="abort") == 5)
        session.gate.set()
        until(lambda: idle(client))
        assert metric(client, "request_success_total") == 5


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_in_the_middle(trained: Path, stream: bool) -> None:
    """Of a text that no machine has written to its end by then."""
    endless = {**LONG, "max_tokens": 10_000_000, "stream": stream, "n": 8}
    with serving({"small": trained}, max_tokens=10_000_000, max_request_tokens=80_000_000) as client:
        for leave in ("reset", "close", "shutdown"):
            connection = raw_request(client, json.dumps(endless).encode())
            until(lambda: metric(client, "num_requests_running") == 8)
            if stream:
                assert b"data: " in connection.recv(2000) + connection.recv(2000)
            if leave == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            if leave == "shutdown":
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
            until(lambda: idle(client))
        assert metric(client, "request_success_total", finished_reason="abort") == 24


@pytest.mark.slow
def test_a_slow_reader_holds_up_no_other_and_is_cut_off(trained: Path) -> None:
    body = {"prompt": "a", "max_tokens": 3000, "n": 4, "logprobs": 20, "stream": True}
    with serving({"small": trained}, request_timeout="3s") as client:
        slow = raw_request(client, json.dumps(body).encode())
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        started = time.monotonic()
        assert client.post("/v1/completions", json={"prompt": "a"}).is_success
        assert time.monotonic() - started < 2
        until(lambda: metric(client, "request_success_total") == 5, 15)
        slow.close()


def test_time_is_over(gated: GatedModel) -> None:
    model, session = gated
    with serving({"small": model}, request_timeout="0.3s") as client:
        session.gate.clear()
        whole = client.post("/v1/completions", json=LONG)
        assert whole.status_code == 504
        assert whole.json()["error"]["type"] == "timeout_error"
        stream = client.post("/v1/completions", json={**LONG, "stream": True})
        assert stream.status_code == 200
        (last,) = (part for part in stream.text.split("\n\n") if part)
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "request_timeout"
        slow = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10)
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        slow.close()
        session.gate.set()
        until(lambda: idle(client))


def test_connections_that_ask_nothing_are_closed(trained: Path) -> None:
    with serving({"small": trained}, head_timeout="0.3s", max_connections=4) as client:
        address = (client.base_url.host, client.base_url.port or 0)
        silent = socket.create_connection(address, timeout=10)
        half = socket.create_connection(address, timeout=10)
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: he")
        for connection in (silent, half):
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408")
            connection.close()
        assert client.get("/health").is_success
        held = [socket.create_connection(address, timeout=10) for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        with socket.create_connection(address, timeout=10) as more:
            answer = more.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in answer
        for connection in held:
            connection.close()


def test_a_poisoned_request_harms_no_other(client: httpx.Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    push_all = Row.push_all

    def poisoned(self: Row, *arguments: Any) -> str:
        if self.seed == 666:
            raise RuntimeError("poison")
        return push_all(self, *arguments)

    monkeypatch.setattr(Row, "push_all", poisoned)
    before = metric(client, "request_failure_total")
    answers: dict[int, str] = {}

    def ask(seed: int) -> None:
        body = {"prompt": "The ", "max_tokens": 300, "seed": seed}
        answer = client.post("/v1/completions", json=body)
        answers[seed] = answer.json()["choices"][0]["text"] if answer.is_success else str(answer.status_code)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in (1, 2, 666, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.pop(666) == "500"
    assert answers == {seed: model.generate("The ", length=300, seed=seed).text for seed in (1, 2, 3, 4)}
    stream = client.post("/v1/completions", json={"prompt": "The ", "seed": 666, "stream": True, "n": 2})
    assert stream.status_code == 200
    last = stream.text.rstrip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "poison" not in stream.text
    until(lambda: metric(client, "request_failure_total") == before + 2)


def test_metrics_add_up(trained: Path) -> None:
    with serving({"one": trained, "two": trained}) as client:
        read = written = 0
        for number in range(6):
            body = {"model": "two", "prompt": ["The ", "a"], "n": 2, "max_tokens": 10 + number, "stop": "e"}
            answer = client.post("/v1/completions", json=body)
            read += answer.json()["usage"]["prompt_tokens"]
            written += answer.json()["usage"]["completion_tokens"]
        assert read == 30
        assert metric(client, "prompt_tokens_total", model_name="two") == read
        assert metric(client, "generation_tokens_total", model_name="two") == written
        assert metric(client, "request_success_total", model_name="two") == 24
        for name in ("e2e_request_latency_seconds", "request_queue_time_seconds"):
            assert metric(client, f"{name}_count", model_name="two") == 24
        assert metric(client, "time_to_first_token_seconds_count", model_name="two") <= 24
        for name in ("prompt_tokens_total", "generation_tokens_total", "request_success_total"):
            assert metric(client, name, model_name="one") == 0


def test_a_stream_of_many_samples_ends_well(client: httpx.Client) -> None:
    body = {"prompt": "The ", "n": 64, "max_tokens": 20, "stream": True}
    reasons = [one["choices"][0]["finish_reason"] for one in events(client.post("/v1/completions", json=body).text)]
    assert sum(reason is not None for reason in reasons) == 64
