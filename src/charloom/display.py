"""How text that others wrote is shown: names of files, models' strings and texts, lines of a log.

Only what can act on a terminal, or break a line where none ends, is replaced. Spaces, joiners, combining marks and
emoji are shown as they are. Where it is shown to people, a reader that goes away ends nothing.

In a command that is to be typed again, nothing is replaced: what can act is spelled.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path
from typing import TextIO

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Control characters (Cc), lone surrogates (Cs), line and paragraph separators, what turns the direction of a line.
_ACTING = "\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_IN_A_LINE = re.compile(f"[{_ACTING}]")
_IN_LINES = re.compile(rf"(?![\n\t])[{_ACTING}]")
_SPELLED = re.compile(rf"[{_ACTING}'\\]")


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


def typed(*words: str | Path) -> str:
    r"""A command, or words of one, as one types them in bash: quoted where that is needed.

    A path that begins with a hyphen gets `./`, so that it is not taken for an option. A word with characters that
    `visible` would replace, such as a tab or a byte that is not UTF-8, becomes `$'a\x09b'`.
    """
    return " ".join(map(_typed_word, words))


def _typed_word(word: str | Path) -> str:
    text = f".{os.sep}{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    return shlex.quote(text) if text == visible(text) else f"$'{_SPELLED.sub(_spell, text)}'"


def _spell(found: re.Match[str]) -> str:
    is_byte = "\udc80" <= found[0] <= "\udcff"  # as Python has the bytes of names that are not UTF-8
    encoded = found[0].encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


class ForgivingStream(io.TextIOBase):
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
