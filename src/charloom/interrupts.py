"""SIGINT and SIGTERM: once asks a run to save and end, twice ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
