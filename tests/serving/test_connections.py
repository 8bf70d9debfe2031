"""Connections over raw sockets: every head has its time, and a client that only stops sending gets its answer."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from charloom.runtime.model import Model
from tests.serving.conftest import Gated, idle, metric, raw_request, serving, until

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = json.dumps({"prompt": "The ", "max_tokens": 20, "seed": 1}).encode()


@pytest.fixture(scope="module")
def hurried(trained: Path) -> Iterator[httpx.Client]:
    """A server that gives a head little time, and idle connections much."""
    with serving({"small": trained}, head_timeout="0.3s", keep_alive="60s") as client:
        yield client


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30)


def answer_on(connection: socket.socket) -> bytes:
    """One answer whose body is JSON, on a connection that goes on."""
    found = b""
    while not found.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, found
        found += part
    return found


@pytest.mark.parametrize("beginning", [b"G", HEALTH + b"G", HEALTH + HEALTH[:-2]])
def test_a_head_that_does_not_end_is_refused_also_on_a_used_connection(hurried: httpx.Client, beginning: bytes) -> None:
    with connected(hurried) as connection:
        connection.sendall(HEALTH)
        assert answer_on(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(beginning)
        rest = connection.makefile("rb").read()  # to the end of the connection
    assert rest.count(b"HTTP/1.1 200") == beginning.count(HEALTH)
    assert rest.count(b"HTTP/1.1 408") == 1


def test_bytes_that_trickle_do_not_win_time(hurried: httpx.Client) -> None:
    with connected(hurried) as connection:
        connection.sendall(HEALTH)
        answer_on(connection)
        connection.settimeout(0.02)
        received = b""
        for _ in range(1500):
            try:
                connection.sendall(b"G")
                received = connection.recv(1000)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_not_asked_for_a_head(hurried: httpx.Client) -> None:
    with connected(hurried) as connection:
        for _ in range(2):
            connection.sendall(HEALTH)
            assert answer_on(connection).startswith(b"HTTP/1.1 200")
            time.sleep(0.7)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_only_stops_sending_gets_its_answer(client: httpx.Client, stream: bool) -> None:
    body = json.dumps({**json.loads(BODY), "stream": stream, "max_tokens": 300}).encode()
    with raw_request(client, body) as whole, raw_request(client, body) as half:
        half.shutdown(socket.SHUT_WR)
        answer = half.makefile("rb").read()
        whole_answer = whole.recv(100)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole_answer[:17] == answer[:17]
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"finish_reason":"length"' in answer


def test_all_that_was_asked_before_is_answered_after_it(client: httpx.Client) -> None:
    with raw_request(client, BODY) as connection:
        connection.sendall(HEALTH)
        connection.shutdown(socket.SHUT_WR)
        answers = connection.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.endswith(b'{"status":"ok"}')


def test_half_a_body_is_not_waited_for(client: httpx.Client) -> None:
    with connected(client) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").read() == b""


def test_who_stops_sending_and_then_goes_frees_what_was_held(gated: tuple[Model, Gated]) -> None:
    model, session = gated
    with serving({"small": model}) as client:
        session.gate.clear()
        with raw_request(client, BODY) as connection:
            until(lambda: not idle(client))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b"H"
        until(lambda: metric(client, "request_success_total", finished_reason="abort") == 1)
        session.gate.set()
        until(lambda: idle(client))
