"""Signals that ask a run to end: once to save and end, twice at once; or as Ctrl-C does, for what is taken back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

_HANGUP = tuple(number for number in signal.Signals if number.name == "SIGHUP")  # there is none on Windows

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
    """Turn SIGINT, SIGTERM and SIGHUP into a request inside the block; a second one interrupts at once.

    A second SIGHUP does nothing: a terminal that is closed sends one, and its shell another. Outside the main thread,
    which alone may handle signals, the request is never made.

    Args:
        asked: is called when the request is made.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if not request.made:
            request.made = True
            asked()
        elif number not in _HANGUP:
            raise KeyboardInterrupt

    with _handled_by(handle, signal.SIGINT, signal.SIGTERM, *_HANGUP):
        yield request


@contextmanager
def hangup_as_request() -> Iterator[StopRequest]:
    """Turn SIGHUP into a request inside the block, for a program that has other signals in hand already."""
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        request.made = True

    with _handled_by(handle, *_HANGUP):
        yield request


def end_as_interrupt() -> AbstractContextManager[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does inside the block: raise KeyboardInterrupt.

    A second SIGHUP does nothing. Outside the main thread, which alone may handle signals, they do what they did before.
    """
    hung_up: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if number in hung_up:
            return
        hung_up.extend(each for each in _HANGUP if each == number)
        raise KeyboardInterrupt

    return _handled_by(handle, signal.SIGTERM, *_HANGUP)


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None], *signals: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ignored = [number for number in _HANGUP if signal.getsignal(number) is signal.SIG_IGN]  # as nohup has it
    kept = {number: signal.signal(number, handle) for number in signals if number not in ignored}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
