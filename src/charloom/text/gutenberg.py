"""Header and licence of Project Gutenberg: recognized in a text, and left out of it.

A book of Project Gutenberg begins with a header that a line ends (`*** START OF THE PROJECT GUTENBERG EBOOK ... ***`,
in older books `*END*THE SMALL PRINT! ...`), and a line begins what follows it (`*** END OF ...`, `End of Project ...`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum

from charloom.events import Notice, Notify
from charloom.text.step import Step

_START = re.compile(r"\s*\*+ ?START OF (?:THE|THIS) PROJECT GUTENBERG|\s*\*END ?\*? ?THE SMALL PRINT", re.IGNORECASE)
_END = re.compile(
    r"[\s*]*(?:END OF (?:THE |THIS )?PROJECT GUTENBERG"
    r"|(?:ENDE DIESES|FIN (?:DE|DU)|FINE (?:DI|DEL)|EINDE VAN) .{0,20}PROJE[CK]T GUTENBERG)",
    re.IGNORECASE,
)
_SMALL_PRINT = re.compile(r"\s*\*+START ?\*+ ?THE SMALL PRINT", re.IGNORECASE)
_MARKS = (
    "OF THE PROJECT GUTENBERG",
    "OF THIS PROJECT GUTENBERG",
    "End of Project Gutenberg",
    "End of the Project Gutenberg",
    "End of The Project Gutenberg",
    "*END*THE SMALL PRINT",
    "*END THE SMALL PRINT",
)
"""Parts of nearly all of these lines, which are found fast."""
_IN_ALL_MARKS = ("PROJECT GUTENBERG", "Project Gutenberg", "THE SMALL PRINT")
"""One of these is in each of them."""
_LONGEST_MARK = max(map(len, _MARKS))
_HEADER = 60_000  # characters at most
_LINE = 1 << 16  # characters after which a line is given away without its end
_BLANK = 10_000  # blank lines that are held back at most
_MARK_LINES = 3  # further lines of a mark whose title is long


class GutenbergMarks:
    """Looks for the marks of Project Gutenberg in a text that passes by in pieces.

    Attributes:
        found: whether there is one.
    """

    def __init__(self) -> None:
        """Nothing was read yet."""
        self.found = False

    def watch(self, pieces: Iterable[str]) -> Iterator[str]:
        """The same pieces."""
        end = ""
        for piece in pieces:
            if not self.found:
                seen = end + piece
                self.found = any(part in seen for part in _IN_ALL_MARKS) and any(mark in seen for mark in _MARKS)
                end = seen[-_LONGEST_MARK:]
            yield piece


def say_gutenberg(document: str | None, notify: Notify) -> None:
    """Name what would be learned with the book."""
    if document is not None:
        notify(
            Notice(
                f"header and licence of Project Gutenberg are in {document} and would be learned: "
                f"--clean gutenberg leaves them out"
            )
        )


class _Place(Enum):
    HEADER = "header"
    MARK = "mark"
    BODY = "body"
    LICENCE = "licence"


class DropGutenberg(Step):
    """Drop header and licence of Project Gutenberg; a text without their marks stays as it is."""

    def __init__(self) -> None:
        self._place = _Place.HEADER
        self._partial = ""
        self._held: list[str] = []  # lines of what may be a header, or blank lines of the body
        self._length = 0
        self._mark_lines = 0

    def push(self, piece: str) -> str:
        *lines, self._partial = (self._partial + piece).split("\n")
        kept = [self._take(line + "\n") for line in lines]
        if len(self._partial) > _LINE:
            kept.append(self._take(self._partial))
            self._partial = ""
        return "".join(kept)

    def finish(self) -> str:
        last = self._take(self._partial) if self._partial else ""
        return last + self._release()

    def _take(self, line: str) -> str:
        if self._place is _Place.MARK and self._is_more_of_the_mark(line):
            return ""
        if _START.match(line):
            front = self._before_the_header() if self._place is _Place.HEADER else ""
            self._held, self._place = [], _Place.MARK
            self._mark_lines = 0 if line.rstrip().endswith("*") else _MARK_LINES
            return front
        if self._place is _Place.HEADER and not _END.match(line):
            return self._hold(line)
        if self._place is _Place.HEADER:  # the book has an end and no header
            self._place = _Place.LICENCE
            while self._held and not self._held[-1].strip():
                self._held.pop()
            return self._release()
        if self._place is _Place.BODY and (_END.match(line) or _SMALL_PRINT.match(line)):
            self._held, self._place = [], _Place.LICENCE
        return self._take_of_body(line) if self._place is _Place.BODY else ""

    def _is_more_of_the_mark(self, line: str) -> bool:
        """Whether the line belongs to the mark, or is blank and follows it."""
        if self._mark_lines and line.strip():
            self._mark_lines = 0 if line.rstrip().endswith("*") else self._mark_lines - 1
            return True
        self._mark_lines = 0
        if line.strip():
            self._place = _Place.BODY
        return not line.strip()

    def _hold(self, line: str) -> str:
        self._held.append(line)
        self._length += len(line)
        if self._length <= _HEADER:
            return ""
        self._place = _Place.BODY
        return self._release()

    def _take_of_body(self, line: str) -> str:
        if line.strip() or len(self._held) > _BLANK:
            return self._release() + line
        self._held.append(line)
        return ""

    def _before_the_header(self) -> str:
        """What is before the first line that names Project Gutenberg, unless it is blank."""
        names = [at for at, line in enumerate(self._held) if "project gutenberg" in line.lower()]
        front = "".join(self._held[: names[0]]) if names else ""
        return front if front.strip() else ""

    def _release(self) -> str:
        held, self._held = "".join(self._held), []
        return held
