"""rich's console for commands and their help. Loaded where something is printed: a text that streams comes before."""

from __future__ import annotations

from rich.console import Console, ConsoleDimensions

LEAST_WIDTH = 20
"""Columns. rich and cyclopts fail, or never end, in less; a narrower terminal breaks the lines itself."""
_USUAL_WIDTH = 80


class CommandConsole(Console):
    """rich's own, never narrower than `LEAST_WIDTH`."""

    @property
    def size(self) -> ConsoleDimensions:
        """Its size, as it is laid out. COLUMNS=0 says that nothing is known."""
        width, height = super().size
        return ConsoleDimensions(max(width or _USUAL_WIDTH, LEAST_WIDTH), max(height, 1))

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    @property
    def is_too_narrow(self) -> bool:
        """Whether the terminal is narrower than its lines: what redraws itself there would fill it."""
        return 0 < super().size.width < LEAST_WIDTH
