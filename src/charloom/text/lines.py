"""A text that comes in pieces, line by line, in bounded memory however long a line is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Line:
    """One line, without its newline.

    Attributes:
        text: the line; of a long one its beginning.
        rest: None where `text` is the whole line. Otherwise the remainder, to be read before the next line is
            asked for; what is not read is passed over.
    """

    text: str
    rest: Iterator[str] | None = None


def split_lines(pieces: Iterable[str], longest: int) -> Iterator[Line]:
    r"""The lines of a text, cut at `\n` alone; a newline at the end of the text begins no further line.

    Args:
        pieces: the text, cut anywhere.
        longest: a line that has more characters than this, and more than the piece it ends in holds, comes as its
            beginning and an iterator over the rest.
    """
    return (line for line in split_live_lines(pieces, longest) if line is not None)


def split_live_lines(pieces: Iterable[str], longest: int) -> Iterator[Line | None]:
    """The same lines, and None for each empty piece: whoever gathers lines need not wait for more of them."""
    source = iter(pieces)
    begun: list[str] = []
    length = 0
    while (piece := next(source, None)) is not None:
        if not piece:
            yield None
        *ended, last = piece.split("\n")
        for line in ended:
            yield Line("".join([*begun, line]) if begun else line)
            begun, length = [], 0
        begun.append(last)
        length += len(last)
        if length > longest:
            rest = _Rest(source)
            yield Line("".join(begun), iter(rest))
            source = chain([rest.finish()], source)
            begun, length = [], 0
    if length:
        yield Line("".join(begun))


class _Rest:
    """What is left of a line, taken from the pieces up to the newline that ends it."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._after: str | None = None

    def __iter__(self) -> Iterator[str]:
        while self._after is None and (piece := next(self._source, None)) is not None:
            part, newline, after = piece.partition("\n")
            if newline:
                self._after = after
            yield part

    def finish(self) -> str:
        """Pass over what was not read; return what follows the line in the piece that ends it."""
        for _ in self:
            pass
        return self._after or ""
