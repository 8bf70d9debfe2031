"""Ctrl-C, and what is printed for it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from charloom.cli.output import Output
from charloom.interrupts import StopRequest, signals_as_request


def stop_on_signal(output: Output) -> AbstractContextManager[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a request inside the block, and say so."""
    return signals_as_request(
        lambda: output.say("stopping after this step and saving the best so far (again: stop at once)")
    )
