"""Reading a directory while somebody else replaces the model in it.

Who writes a model puts all files beside the old ones, sets `config.json` aside, renames the files into place and
`config.json` last (`charloom.files.write_together`). So while the same `config.json` stands there, the files are
its own; while it is gone and its successor waits beside, there is something to wait for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from charloom.bundle.config import CONFIG
from charloom.errors import ModelDirectoryError
from charloom.files import TEMPORARY_SUFFIX

PATIENCE = 2.0  # seconds; the renames themselves take a few milliseconds
_PAUSE = 0.005

Opened = TypeVar("Opened")


def unless_replaced(path: Path, read: Callable[[], Opened]) -> Opened:
    """Call `read` until the model in the folder was the same before and after it, for two seconds at most.

    Raises:
        ModelDirectoryError: from `read`, at once where the model was not being replaced meanwhile; or it is replaced
            again and again.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        before = _commit(path)
        failure: ModelDirectoryError | None = None
        try:
            found = read()
        except ModelDirectoryError as error:
            failure = error
        else:
            if before is not None and _commit(path) == before:
                return found
        if failure is not None and not _being_replaced(path, before):
            raise failure
        if time.monotonic() > deadline:
            raise failure or ModelDirectoryError(f"{path}: the model is being replaced again and again; try later")
        time.sleep(_PAUSE)


def _commit(path: Path) -> tuple[int, ...] | None:
    """What tells one `config.json` from another that took its place; None while there is none."""
    try:
        facts = (path / CONFIG).stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _being_replaced(path: Path, before: tuple[int, ...] | None) -> bool:
    """Whether another `config.json` has come, or one waits beside to come."""
    now = _commit(path)
    if now is not None:
        return now != before
    try:
        names = [file.name for file in path.iterdir()]
    except OSError:
        return False
    waiting = any(name.startswith(f".{CONFIG}.") and name.endswith(TEMPORARY_SUFFIX) for name in names)
    # Between the two looks the renames may have ended.
    return waiting or _commit(path) is not None
