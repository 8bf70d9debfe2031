"""How text that others wrote is shown: names of files, models' strings and texts, lines of a log.

Only what can act on a terminal, or break a line where none ends, is replaced. Spaces, joiners, combining marks and
emoji are shown as they are. Where it is shown to people, a reader that goes away ends nothing.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import TextIO

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Control characters (Cc), lone surrogates (Cs), line and paragraph separators, what turns the direction of a line.
_ACTING = "\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_IN_A_LINE = re.compile(f"[{_ACTING}]")
_IN_LINES = re.compile(rf"(?![\n\t])[{_ACTING}]")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with `REPLACEMENT` for each character that can act on a terminal; its length does not change.

    Args:
        text: what somebody else wrote.
        lines: keep newlines and tabs; otherwise the result is one line without tabs.
    """
    return (_IN_LINES if lines else _IN_A_LINE).sub(REPLACEMENT, text)


def safe_json(line: str) -> str:
    r"""One line of JSON with `\u` escapes for the characters that `visible` would replace: the same data."""
    return _IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class Forgiving(io.TextIOBase):
    """A stream for people: its reader may go away, its disk may be full. What cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        # A signal's handler that writes while a write is under way gets a RuntimeError, a closed stream's a ValueError.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The number of its file."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It can be written to, whatever becomes of it."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # it is read-only there too
        """How it encodes text."""
        return self._stream.encoding
