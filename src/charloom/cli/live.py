"""What moves on a terminal while a command works, and is not there elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import Progress, ProgressColumn

from charloom.cli.output import Output


class LiveView:
    """A bar on stderr where that is a terminal. Use as a context manager."""

    def __init__(self, output: Output, *columns: ProgressColumn) -> None:
        """Show to `output`'s stderr, in these columns."""
        self._output = output
        self._live = output.console.is_interactive and not output.quiet
        self._bar = Progress(*columns, console=output.console, disable=not self._live, transient=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
