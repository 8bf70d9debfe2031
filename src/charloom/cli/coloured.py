"""Text on a terminal with each character on the colour of its surprise, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.text import Text

from charloom.display import visible
from charloom.runtime.surprise import COLOURS, INK, STEPS, step


def coloured(before: str, per_char: Iterable[tuple[str, float]]) -> Text:
    """What is before it plain, then each character on the colour of its bits."""
    text = Text(visible(before, lines=True), style="dim" if before else "")
    for letter, bits in per_char:
        style = _style(step(bits))
        text.append("↵\n" if style and letter == "\n" else visible(letter, lines=True), style or "not dim")
    return text


def coloured_by_marks(text: str, marks: str) -> Text:
    """A line on the colours of the digits that are below it, which say bits."""
    line, column = Text(), 0
    for letter in text:
        mark = marks[min(column, len(marks) - 1)]
        line.append(letter, _style(step(int(mark))) if mark.isdigit() else "")
        column += cell_len(letter)
    return line


def legend() -> Text:
    """What the colours say."""
    line = Text("bits of surprise: ")
    for number, bits in enumerate(STEPS, start=1):
        line.append(f" {bits}{' or more' if bits == STEPS[-1] else ''} ", _style(number))
    return line


def _style(number: int) -> str:
    return f"{INK} on {COLOURS[number - 1]}" if number else ""
