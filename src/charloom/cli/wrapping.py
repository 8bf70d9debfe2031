"""Text on a terminal, broken between words where a terminal would break it within one."""

from __future__ import annotations

from rich.cells import cell_len


class WordWrap:
    """Breaks a text that comes piece by piece. A word is held until it has ended; the text's own line ends stay."""

    def __init__(self, width: int) -> None:
        """Break lines of more than `width` columns."""
        self._width = width
        self._column = 0
        self._gap = ""  # spaces since the last word
        self._word = ""

    def feed(self, text: str) -> str:
        """Add a piece; return what can be printed."""
        return "".join(map(self._add, text))

    def rest(self) -> str:
        """What is still held, at the end of the text."""
        return self._end_word() + self._take_gap()

    def _add(self, character: str) -> str:
        if character == "\n":
            printed = self._end_word() + self._take_gap() + "\n"
            self._column = 0
            return printed
        if character.isspace():
            printed = self._end_word()
            self._gap += character
            return printed
        if cell_len(character) > 1:  # scripts that are written without spaces may be broken anywhere
            printed = self._end_word()
            self._word = character
            return printed + self._end_word()
        self._word += character
        return self._end_word() if cell_len(self._word) >= self._width else ""

    def _end_word(self) -> str:
        if not self._word:
            return ""
        word, self._word = self._word, ""
        gap, self._gap = self._gap, ""
        width = cell_len(word)
        if self._column and self._column + self._columns(gap) + width > self._width:
            self._column = self._within(width)
            return "\n" + word
        self._column = self._within(self._column + self._columns(gap) + width)
        return gap + word

    def _within(self, column: int) -> int:
        """Where the terminal is after so many columns; a line that is full is full, and not a new one."""
        return (column - 1) % self._width + 1 if column else 0

    def _take_gap(self) -> str:
        gap, self._gap = self._gap, ""
        self._column += self._columns(gap)
        return gap

    def _columns(self, gap: str) -> int:
        """How far spaces and tabs go."""
        column = self._column
        for character in gap:
            column += 8 - column % 8 if character == "\t" else 1
        return column - self._column


def wrap(text: str, width: int) -> str:
    """A whole text, broken."""
    wrapping = WordWrap(width)
    return wrapping.feed(text) + wrapping.rest()
