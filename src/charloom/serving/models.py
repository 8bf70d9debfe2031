"""The models that are served: each has a name and, once it is loaded, an engine; and whether the server is ready."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from charloom.bundle import HubAddress
from charloom.display import visible
from charloom.errors import CharloomError, UsageError
from charloom.files import expand_home
from charloom.runtime.engine import Engine
from charloom.runtime.introduction import Introduction, introduce
from charloom.runtime.model import Model, load
from charloom.serving.errors import ApiError
from charloom.serving.logs import LOGGER
from charloom.serving.settings import ServeSettings

_log = logging.getLogger(LOGGER)
_FIRST_ANSWER = 60.0  # seconds: a model that has not written a character by then is as good as broken


class Served:
    """One model.

    Attributes:
        name: what clients call it.
        created: when it was trained, in seconds since 1970.
    """

    def __init__(self, name: str, source: Model | Path) -> None:
        """Serve a model, or the one in a folder, as `name`."""
        self.name = name
        self.created = int(time.time())
        self._source = source
        self._loaded: tuple[Model, Engine] | None = None
        self._introduction: Introduction | None = None

    @property
    def ready(self) -> bool:
        """Whether it can answer."""
        return self._loaded is not None

    @property
    def model(self) -> Model:
        """The model.

        Raises:
            ApiError: 503, it is not loaded yet.
        """
        return self._both()[0]

    @property
    def engine(self) -> Engine:
        """What writes with it.

        Raises:
            ApiError: 503, it is not loaded yet.
        """
        return self._both()[1]

    def _both(self) -> tuple[Model, Engine]:
        if self._loaded is None:
            raise ApiError(503, f"the model {self.name} is being loaded: try again soon", code="loading")
        return self._loaded

    def start(self, settings: ServeSettings) -> None:
        """Load it, start its engine and let it write a character.

        Raises:
            CharloomError: it cannot be loaded, or cannot write.
        """
        model = self._source
        if isinstance(model, Path):
            model = load(model, threads=settings.threads, precision=settings.precision)
        engine = model.engine(max_rows=settings.max_rows, max_queue=settings.max_queue)
        try:
            engine.submit("", length=1, stop=[]).result(_FIRST_ANSWER)
        except TimeoutError:
            raise CharloomError(f"the model {self.name} writes nothing") from None
        config = model.path / "config.json"
        self.created = int(config.stat().st_mtime) if config.is_file() else self.created
        self._loaded = model, engine

    def introduction(self) -> Introduction:
        """What to show of it first; it is found when it is first asked for."""
        if self._introduction is None:
            self._introduction = introduce(self.model)
        return self._introduction

    def stop(self) -> None:
        """Give up what it is writing, and end its engine."""
        if self._loaded is not None:
            self._loaded[1].close(drain=False, timeout=10)


class Models(Mapping[str, Served]):
    """Models by name; the first is the one that is meant where none is named.

    Attributes:
        failure: why one of them could not be loaded.
    """

    def __init__(self, models: Mapping[str, Model | str | Path]) -> None:
        """Serve `models`, which are loaded by `start`.

        Raises:
            UsageError: there is none.
        """
        if not models:
            raise UsageError("name a model directory to serve")
        self._served = {
            name: Served(name, Path(source) if isinstance(source, str) else source) for name, source in models.items()
        }
        self.failure: str | None = None
        self._loader: threading.Thread | None = None
        self._stopping = False

    def __getitem__(self, name: str) -> Served:
        return self._served[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    @property
    def ready(self) -> bool:
        """Whether all of them can answer."""
        return all(served.ready for served in self._served.values())

    def named(self, name: str | None) -> Served:
        """The model of that name; the first where none is named.

        Raises:
            ApiError: 404, there is no such model.
        """
        if name is None:
            return next(iter(self._served.values()))
        if name not in self._served:
            known = ", ".join(list(self._served)[:20])
            raise ApiError(
                404, f"there is no model {name[:100]!r} here; there is: {known}", param="model", code="model_not_found"
            )
        return self._served[name]

    def start(self, settings: ServeSettings) -> None:
        """Load them all in a thread of its own; `ready` or `failure` tells how that went."""
        self._loader = threading.Thread(target=self._load, args=(settings,), name="charloom-loading", daemon=True)
        self._loader.start()

    def _load(self, settings: ServeSettings) -> None:
        for served in self._served.values():
            if self._stopping:
                return
            try:
                served.start(settings)
            except CharloomError as error:
                self.failure = str(error)
            except Exception as error:
                self.failure = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if self.failure is not None:
                _log.error("loading failed", extra={"model": served.name, "reason": self.failure})
                return
            _log.info("ready", extra={"model": served.name, "precision": str(served.model.precision)})

    def stop(self) -> None:
        """End them all; of those that are being loaded no further one is begun."""
        self._stopping = True
        if self._loader is not None:
            self._loader.join(10)
        for served in self._served.values():
            served.stop()


def named_paths(models: Sequence[str]) -> dict[str, Model | str | Path]:
    """The folders that `NAME=PATH` or `PATH` name, by name; a folder's own name is the model's.

    Raises:
        UsageError: two have one name, or a name has a slash.
    """
    found: dict[str, Model | str | Path] = {}
    for spec in models:
        name, separator, path = spec.partition("=")
        if not separator or Path(spec).exists():
            path = spec
            address = HubAddress.parse(spec)
            name = (expand_home(spec).resolve().name if address is None else address.name) or "model"
        if not name or not path or "/" in name or name != visible(name):
            raise UsageError(f"{spec}: give NAME=PATH, the name without a slash")
        if name in found:
            raise UsageError(f"two models are called {name}: give NAME=PATH")
        found[name] = Path(path)
    return found


Status = Literal["ok", "loading", "failed", "draining"]


class Lifecycle:
    """What may be asked of the server just now, and how many requests are being answered.

    Attributes:
        requests: how many are being answered, not counting those that ask for the server's state.
    """

    def __init__(self, models: Models) -> None:
        """Begin with models that may still be loading."""
        self._models = models
        self._draining = threading.Event()
        self.requests = 0

    def drain(self) -> None:
        """Take no more requests."""
        self._draining.set()

    @property
    def status(self) -> Status:
        """The server's state."""
        if self._draining.is_set():
            return "draining"
        if self._models.failure is not None:
            return "failed"
        return "ok" if self._models.ready else "loading"

    @property
    def reason(self) -> str | None:
        """Why it is not ready, for people; None where it is."""
        status = self.status
        if status == "draining":
            return "the server is ending: it takes no more requests"
        if status == "failed":
            return f"a model could not be loaded: {self._models.failure}"
        return "the model is being loaded: try again soon" if status == "loading" else None

    def check(self) -> None:
        """Refuse what cannot be answered now.

        Raises:
            ApiError: 503, with the reason.
        """
        if (reason := self.reason) is not None:
            raise ApiError(503, reason, code=self.status)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request, while it is being answered; the server ends after it."""
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1
