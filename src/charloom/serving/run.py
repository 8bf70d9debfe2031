"""Run the server in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from charloom.errors import CharloomError
from charloom.interrupts import hangup_as_request
from charloom.runtime.model import Model
from charloom.serving.app import create_app
from charloom.serving.connections import ACCEPTED_AT_ONCE, bounded_protocol, openable
from charloom.serving.context import Context
from charloom.serving.settings import ServeSettings

_TICK = 0.02  # seconds
_SHOWN_LOADING = 2.0  # seconds: small models are ready by then, so that who reads the address may ask at once
_WAITING = 2048  # connections that are not accepted yet
_THREADS_SWITCH = 0.001  # seconds that a thread goes on while others want to
_LAST_ANSWERS = 1  # seconds for answers that were cut short to reach their clients


@dataclass(frozen=True)
class Listening:
    """Where a server can be reached.

    Attributes:
        address: for a browser.
        host: as it was asked for.
        port: the one that is listened on.
        status: of the models: `ok`, `loading` or `failed`.
    """

    address: str
    host: str
    port: int
    status: str


class _Server(uvicorn.Server):
    """uvicorn's own, which drains before it ends: the app goes on refusing requests, in its own words."""

    def __init__(self, config: uvicorn.Config, server: Context, should_stop: Callable[[], bool]) -> None:
        super().__init__(config)
        self.interrupted = False
        self._server = server
        self._should_stop = should_stop
        self._deadline: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; the system keeps more connections waiting than are accepted at once."""
        await super().startup(sockets)
        for listener in sockets or ():
            if not self.should_exit:
                listener.listen(_WAITING)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: once drains, twice ends at once."""
        self.interrupted = self.interrupted or sig == signal.SIGINT
        if self._deadline is not None:
            self.should_exit = self.force_exit = True
        else:
            self._deadline = time.monotonic() + self._server.settings.drain
            self._server.lifecycle.drain()

    async def end_when_drained(self, failed_at: float | None = None) -> None:
        """Watch for the end: all is answered, the time for that is over, or a model has failed to load."""
        while not self.should_exit:
            await asyncio.sleep(_TICK)
            if self.force_exit:  # a second signal has come
                return
            if self._deadline is None and self._should_stop():
                self.handle_exit(signal.SIGTERM, None)
            if self._deadline is not None:
                if self._server.lifecycle.requests and time.monotonic() > self._deadline:
                    await self._give_up()
                over = not self._server.lifecycle.requests or time.monotonic() > self._deadline
                self.should_exit = self.should_exit or over
            elif self._server.models.failure is not None:
                failed_at = failed_at or time.monotonic()
                over = time.monotonic() > failed_at + self._server.settings.failure_linger
                self.should_exit = self.should_exit or over

    async def _give_up(self) -> None:
        """Cancel the texts that are not finished: their clients receive an error."""
        await asyncio.to_thread(self._server.models.stop)
        patience = time.monotonic() + _LAST_ANSWERS
        while self._server.lifecycle.requests and time.monotonic() < patience:
            await asyncio.sleep(_TICK)


def serve(
    models: Mapping[str, Model | str | Path],
    settings: ServeSettings,
    *,
    keys: Sequence[str] = (),
    announce: Callable[[Listening], None] = lambda listening: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Serve models until a signal says to end.

    SIGTERM, SIGINT and SIGHUP end admission; what is being answered is finished, for at most `drain`; a second SIGTERM
    or SIGINT ends it.

    Args:
        models: by name; see `create_app`.
        settings: where to listen, limits and times.
        keys: requests must carry one of them, if there are any.
        announce: receives where the server listens, once models are loaded or have failed to, or after two seconds.
        should_stop: is asked often; True does what SIGTERM does, for servers in a thread.

    Returns:
        Whether it was interrupted from the keyboard.

    Raises:
        CharloomError: the address cannot be listened on, or a model could not be loaded.
    """
    app = create_app(models, settings, keys=keys)
    server: Context = app.state.context
    listener = _listener(settings.host, settings.port)
    with hangup_as_request() as hung_up, _quick_threads():
        running = _Server(_config(app, settings), server, lambda: hung_up() or should_stop())
        asyncio.run(_run(running, server, listener, announce))
    if server.models.failure is not None:
        raise CharloomError(f"a model could not be loaded: {server.models.failure}")
    return running.interrupted


@contextmanager
def _quick_threads() -> Iterator[None]:
    """An engine and the event loop do little at a time: let them not wait long to do it."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_THREADS_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _config(app: FastAPI, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        http=bounded_protocol(openable(settings.max_connections), settings.head_timeout),
        timeout_keep_alive=max(1, round(settings.keep_alive)),
        timeout_graceful_shutdown=_LAST_ANSWERS,
        backlog=ACCEPTED_AT_ONCE,
    )


async def _run(
    running: _Server, server: Context, listener: socket.socket, announce: Callable[[Listening], None]
) -> None:
    watching = asyncio.create_task(running.end_when_drained())
    telling = asyncio.create_task(_announce(running, server, listener, announce))
    try:
        await running.serve(sockets=[listener])
    finally:
        for task in (watching, telling):
            task.cancel()
        await asyncio.gather(watching, telling, return_exceptions=True)


async def _announce(
    running: _Server, server: Context, listener: socket.socket, announce: Callable[[Listening], None]
) -> None:
    patience = time.monotonic() + _SHOWN_LOADING
    while not running.started or (server.lifecycle.status == "loading" and time.monotonic() < patience):
        await asyncio.sleep(_TICK)
    host, port = server.settings.host, listener.getsockname()[1]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
    announce(Listening(address, host, port, server.lifecycle.status))


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CharloomError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port"
        ) from None
    return listener
