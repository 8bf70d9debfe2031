"""The progress of what was started from Python, a training or a job: on stderr on a terminal, or in a notebook.

Off a terminal, and where a program listens itself (`notify`), nothing is shown.
"""

from __future__ import annotations

import importlib
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from charloom.display import visible
from charloom.events import (
    DownloadProgress,
    Event,
    ModelSaved,
    Notify,
    PreparationProgress,
    StepTaken,
    TransferProgress,
    ignore,
)
from charloom.report import SmoothedLoss, event_lines, join_parts, step_parts

_BETWEEN = 0.25  # seconds between two looks of the line that moves


@contextmanager
def shown(notify: Notify, *, progress: bool = True) -> Iterator[Notify]:
    """The listener to tell: the caller's own, or where there is none and somebody watches, a view of the progress."""
    place = _place() if progress and notify is ignore else None
    if place is None:
        yield notify
        return
    view = ProgressView(place)
    try:
        yield view
    finally:
        view.end()


class ProgressView:
    """Lines that stay, and below them one that moves."""

    def __init__(self, show: Callable[[list[str], str], None]) -> None:
        """Show by a function that is given the lines so far and the one that moves."""
        self._show = show
        self._lines: list[str] = []
        self._moving = ""
        self._loss = SmoothedLoss()
        self._shown_at = -math.inf

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepTaken():
                self._loss.add(event.loss)
                self._move(lambda: join_parts(step_parts(event, self._loss.value)))
            case DownloadProgress():
                self._move(lambda: f"{event.name}: {event.received / 1e6:.1f} of {event.total / 1e6:.1f} MB")
            case TransferProgress() if event.done < event.total:
                self._move(lambda: f"{event.name}: {event.done / 1e6:.1f} of {event.total / 1e6:.1f} MB")
            case PreparationProgress():
                self._move(lambda: f"{event.stage} · {event.done / 1e6:,.0f} MB")
            case ModelSaved() | TransferProgress():
                self._moving = ""
        for line in event_lines(event):
            self._say(line)

    def end(self) -> None:
        """Nothing moves any more."""
        self._moving = ""
        self._show(self._lines, "")

    def _say(self, line: str) -> None:
        self._lines.append(visible(line))
        self._show(self._lines, self._moving)

    def _move(self, line: Callable[[], str]) -> None:
        if time.monotonic() - self._shown_at >= _BETWEEN:
            self._shown_at = time.monotonic()
            self._moving = visible(line())
            self._show(self._lines, self._moving)


def _place() -> Callable[[list[str], str], None] | None:
    """How to show lines where somebody watches; None where no one does."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is not None:
        return _in_a_notebook()
    return _on_a_terminal(sys.stderr) if sys.stderr is not None and sys.stderr.isatty() else None


def _on_a_terminal(stream: TextIO) -> Callable[[list[str], str], None]:
    printed, moving = 0, 0  # lines that were printed; columns of the one that moves

    def show(lines: list[str], line: str) -> None:
        nonlocal printed, moving
        stream.write("\r" + " " * moving + "\r" if moving else "")
        stream.write("".join(f"{each}\n" for each in lines[printed:]))
        line = line[: max(0, shutil.get_terminal_size().columns - 1)]
        stream.write(line)
        stream.flush()
        printed, moving = len(lines), len(line)

    return show


def _in_a_notebook() -> Callable[[list[str], str], None]:
    display: Any = importlib.import_module("IPython.display")
    handle: Any = None

    def show(lines: list[str], line: str) -> None:
        nonlocal handle
        data = {"text/plain": "\n".join([*lines, *([line] if line else [])])}
        if handle is None:
            handle = display.display(data, raw=True, display_id=True)
        else:
            handle.update(data, raw=True)

    return show
