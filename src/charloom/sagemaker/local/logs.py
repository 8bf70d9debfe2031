"""Log files of jobs and endpoints of this machine: the last lines, and lines as they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from charloom.events import LogLine, Notify

LOG = "log.txt"

_TAIL = 1 << 20  # bytes of a log that are shown, at most
_CHUNK = 1 << 16
_LONGEST = 1 << 16  # bytes of one line


def last_lines(path: Path, limit: int = 10_000) -> list[str]:
    """The last lines of a log, at most `limit` and those in its last megabyte; none where there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            content = file.read(_TAIL)
    except OSError:
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    return lines[-limit:] if size <= _TAIL else lines[1:][-limit:]


class Followed:
    """A log that somebody else writes: `tell` tells the lines that have come since the last time."""

    def __init__(self, path: Path, notify: Notify) -> None:
        """Begin at what is its end now."""
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._notify = notify
        self._rest = b""

    def tell(self, *, last: bool = False) -> None:
        """Tell the whole lines that have come; with `last` also one that has no end."""
        for line in self._lines():
            self._notify(LogLine(line.decode("utf-8", "replace").rstrip("\r\n")))
        if last and self._rest:
            self._notify(LogLine(self._rest.decode("utf-8", "replace")))
            self._rest = b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _lines(self) -> Iterator[bytes]:
        while chunk := self._file.read(_CHUNK):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            yield from lines
            if len(self._rest) > _LONGEST:
                yield self._rest
                self._rest = b""
