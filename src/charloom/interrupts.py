"""Signals that ask a run to end: once to save and end, twice at once; or as Ctrl-C does, for what is taken back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit status of a program that was interrupted."""


class StopRequest:
    """Whether a signal has asked to stop."""

    def __init__(self) -> None:
        """Not yet."""
        self.made = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.made


@contextmanager
def signals_as_request(asked: Callable[[], None] = lambda: None) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request inside the block; a second one interrupts at once.

    Outside the main thread, which alone may handle signals, the request is never made.

    Args:
        asked: is called when the request is made.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.made:
            raise KeyboardInterrupt
        request.made = True
        asked()

    with _handled_by(handle, signal.SIGINT, signal.SIGTERM):
        yield request


def signals_as_interrupt(*signals: signal.Signals) -> AbstractContextManager[None]:
    """Let these signals do what Ctrl-C does inside the block: raise KeyboardInterrupt.

    Outside the main thread, which alone may handle signals, they do what they did before.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return _handled_by(handle, *signals)


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None], *signals: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
