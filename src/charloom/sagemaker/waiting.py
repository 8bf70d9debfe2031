"""Waiting for what Amazon does: look again and again, through failures that pass, with a sign of life."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from charloom.errors import CloudError
from charloom.events import Notice, Notify, StatusChanged
from charloom.sagemaker.aws import is_transient

PATIENCE = 600.0
"""Seconds in a row that Amazon may be out of reach."""

_NOTICE_EVERY = 60.0  # seconds: a sign of life while nothing changes

Found = TypeVar("Found")


def looks(look: Callable[[], Found], name: str, notify: Notify, *, every: float) -> Iterator[Found]:
    """What `look` finds, at once and every so many seconds; a failure that passes is reported, and outlasted."""
    heard, is_notified = time.monotonic(), False
    while True:
        try:
            found = look()
        except CloudError as error:
            if not is_transient(error) or time.monotonic() - heard > PATIENCE:
                raise
            if not is_notified:
                notify(Notice(f"cannot ask for {name} just now, and go on trying: {error}"))
            is_notified = True
        else:
            heard, is_notified = time.monotonic(), False
            yield found
        time.sleep(every)


class States:
    """Reports a state when it changes, and once a minute while it does not."""

    def __init__(self, name: str, notify: Notify) -> None:
        self._name, self._notify = name, notify
        self._status = ""
        self._began = self._reported = time.monotonic()

    def report(self, status: str) -> None:
        """Report a state, if it is time to."""
        now, is_same = time.monotonic(), status == self._status
        if is_same and now - self._reported < _NOTICE_EVERY:
            return
        self._status, self._reported = status, now
        self._notify(StatusChanged(self._name, status, f"for {(now - self._began) / 60:.0f} min" if is_same else ""))
