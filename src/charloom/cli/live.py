"""What moves on a terminal while a command works, and is not there elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import RenderableType
from rich.progress import Progress, ProgressColumn

from charloom.cli.console import CommandConsole
from charloom.cli.output import Output


class Bar(Progress):
    """rich's own, but for terminals too narrow for it: nothing moves there."""

    def __init__(self, console: CommandConsole, *columns: ProgressColumn, disable: bool = False) -> None:
        """Show on `console`, in these columns."""
        self._terminal = console
        super().__init__(*columns, console=console, disable=disable, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table of what is under way, where there is room."""
        return () if self._terminal.is_too_narrow else super().get_renderables()


class LiveView:
    """A bar on stderr where that is a terminal. Use as a context manager."""

    def __init__(self, output: Output, *columns: ProgressColumn) -> None:
        """Show to `output`'s stderr, in these columns."""
        self._output = output
        self._live = output.console.is_interactive and not output.quiet
        self._bar = Bar(output.console, *columns, disable=not self._live)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
