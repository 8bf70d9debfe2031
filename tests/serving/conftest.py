from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

import charloom
from charloom.runtime.model import Model
from charloom.runtime.session import Logits, Session, State
from charloom.serving.run import Listening, serve
from charloom.serving.settings import ServeSettings
from charloom.settings import validate
from charloom.text.vocabulary import Ids

JSON = {"content-type": "application/json"}


@contextlib.contextmanager
def serving(
    models: Mapping[str, Model | str | Path], keys: Sequence[str] = (), **settings: Any
) -> Iterator[httpx.Client]:
    """A real server in a thread of its own, and a client for it."""
    announced: queue.Queue[Listening] = queue.Queue()
    stop = threading.Event()
    chosen = validate(ServeSettings, {"port": 0, "precision": "int8", "drain": "5s", **settings})
    thread = threading.Thread(
        target=serve,
        args=(models, chosen),
        kwargs={"keys": keys, "announce": announced.put, "should_stop": stop.is_set},
        daemon=True,
    )
    thread.start()
    try:
        listening = announced.get(timeout=30)
        with httpx.Client(base_url=listening.address, timeout=30) as client:
            yield client
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def model(trained: Path) -> Model:
    return charloom.load(trained, precision="int8")


@pytest.fixture(scope="session")
def client(trained: Path) -> Iterator[httpx.Client]:
    """A server of the small model, as `small`, with the usual limits."""
    with serving({"small": trained}) as found:
        yield found


class Gated(Session):
    """A model's own network, which runs only while its gate is open."""

    def __init__(self, inner: Session) -> None:
        self.shape = inner.shape
        self.inner = inner
        self.gate = threading.Event()
        self.gate.set()

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        assert self.gate.wait(30)
        return self.inner.run(ids, state)


@pytest.fixture
def gated(trained: Path) -> Iterator[tuple[Model, Gated]]:
    """A model whose network can be held up."""
    held = charloom.load(trained, precision="int8")
    session = Gated(held._session)
    held._session = session
    yield held, session
    session.gate.set()


def until(true: Callable[[], object], seconds: float = 10) -> None:
    """Wait for another thread, not for ever."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of a metric's values that have these labels; 0 where there is none."""
    total = 0.0
    for line in client.get("/metrics").text.splitlines():
        head, _, value = line.rpartition(" ")
        found = head.partition("{")[0]
        if found == f"charloom_{name}" and all(f'{key}="{one}"' in head for key, one in labels.items()):
            total += float(value)
    return total


def idle(client: httpx.Client) -> bool:
    """Whether no row and no place in the queue is taken."""
    return metric(client, "num_requests_running") == 0 == metric(client, "num_requests_waiting")


def events(text: str) -> list[Any]:
    """The data of server-sent events; the last must be [DONE], which is left out."""
    found = [part.removeprefix("data: ") for part in text.split("\n\n") if part]
    assert found.pop() == "[DONE]"
    return [json.loads(one) for one in found]


def raw_request(
    client: httpx.Client, body: bytes, path: str = "/v1/completions", only: int | None = None
) -> socket.socket:
    """A connection that has sent a request, or only the first bytes of its body, and reads nothing."""
    address = (client.base_url.host, client.base_url.port)
    connection = socket.create_connection(address, timeout=10)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:only])
    return connection
