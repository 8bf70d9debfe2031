"""The server without a socket: requests are answered by the very app that listens, inside this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from charloom.errors import CharloomError
from charloom.runtime.model import Model
from charloom.serving.app import create_app
from charloom.serving.context import Context
from charloom.serving.settings import ServeSettings

Result = TypeVar("Result")
_TICK = 0.01  # seconds


@dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        status: of HTTP.
        content_type: of the body, with its parameters.
        body: all of it.
    """

    status: int
    content_type: str
    body: bytes


class InProcess:
    """Models, served to this process alone. May be asked by several threads at once; a context manager."""

    def __init__(self, models: Mapping[str, Model | str | Path], settings: ServeSettings | None = None) -> None:
        """Load models, and wait until they can answer.

        Raises:
            CharloomError: one of them cannot be loaded.
        """
        self._app = create_app(models, settings)
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="charloom-serving", daemon=True)
        self._thread.start()
        self._wait(self._lifespan.__aenter__())
        server: Context = self._app.state.context
        while server.lifecycle.status == "loading":
            time.sleep(_TICK)
        if server.models.failure is not None:
            self.close()
            raise CharloomError(f"a model could not be loaded: {server.models.failure}")

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the models."""
        if self._thread.is_alive():
            self._wait(self._lifespan.__aexit__(None, None, None))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request and give the whole answer, refusals included."""
        return self._wait(self._post(path, body, headers))

    def _wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        head = {name.lower(): value for name, value in headers.items()} | {"content-length": str(len(body))}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in head.items()],
            "client": None,
            "server": None,
        }
        exchange = _Exchange(body)
        await self._app(scope, exchange.receive, exchange.send)
        return Answer(exchange.status, exchange.content_type, b"".join(exchange.parts))


class _Exchange:
    """One request, as the app sees it."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.content_type = ""
        self.parts: list[bytes] = []
        self._body: bytes | None = body

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            await asyncio.Event().wait()  # this client does not go away
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.content_type = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
