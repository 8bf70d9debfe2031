"""Ctrl-C: once asks a run to save and end, twice ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from charloom.cli.output import Output

INTERRUPTED = 130
"""The exit status of a command that was interrupted."""


class StopRequest:
    """Whether the user has asked to stop."""

    def __init__(self) -> None:
        """Not yet."""
        self.made = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.made


@contextmanager
def stop_on_signal(output: Output) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request inside the block; a second one interrupts at once."""
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.made:
            raise KeyboardInterrupt
        request.made = True
        output.say("stopping after this step and saving the best so far (again: stop at once)")

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
