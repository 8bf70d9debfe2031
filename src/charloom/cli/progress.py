"""Training, and what takes long before it, as a person sees it: a moving bar on a terminal, else plain lines.

No line is wider than the terminal: what matters least is left out first. In a log lines have all their parts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.cells import cell_len, chop_cells
from rich.console import RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column

from charloom.cli.console import CommandConsole
from charloom.cli.output import Output
from charloom.cli.wrapping import wrap
from charloom.display import visible
from charloom.events import (
    DownloadProgress,
    Evaluated,
    Event,
    ModelSaved,
    Notice,
    PreparationProgress,
    StepTaken,
    TrainingStarted,
)
from charloom.report import Part, SmoothedLoss, evaluated_parts, figure_parts, join_parts, started_parts, step_parts


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


LOG_WIDTH = 80
_LINE_EVERY = 15.0  # seconds between progress lines where nothing can move
_BAR = 10  # columns
_SAMPLE_LINES = 6
_INDENT = "    "


class TrainingView(LiveView):
    """Renders events. Use as a context manager; call it with each event."""

    def __init__(self, output: Output, *, samples: bool = True) -> None:
        """Show to `output`'s stderr; `samples` shows the texts written on the way."""
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        super().__init__(output, BarColumn(bar_width=_BAR), text)
        self._samples = samples
        self._task = self._bar.add_task("", total=None, visible=False)
        self._download: Bar | None = None
        self._last_line = time.monotonic()
        self._loss = SmoothedLoss()
        self._stage = ""
        self._stage_began = 0.0
        self._protocol: str | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Notice():
                self._output.note(event)
            case DownloadProgress():
                self._downloading(event)
            case PreparationProgress():
                self._preparing(event)
            case TrainingStarted():
                self._started(event)
            case StepTaken():
                self._step(event)
            case Evaluated():
                self._evaluated(event)
            case ModelSaved():
                self._output.say(f"saved {event.path} (the weights after step {event.step:,})")

    @property
    def _width(self) -> int:
        return self._output.console.width if self._live else LOG_WIDTH

    def _line(self, parts: Sequence[Part]) -> str:
        return fit_line(parts, self._width) if self._live else join_parts(parts)

    def _downloading(self, event: DownloadProgress) -> None:
        if not self._live:
            return
        if self._download is None:
            self._bar.stop()
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            self._download = Bar(self._output.console, *columns)
            self._download.add_task(event.name, total=event.total)
            self._download.start()
        self._download.update(self._download.task_ids[0], completed=event.received)
        if event.received >= event.total:
            self._download.stop()
            self._download = None
            self._bar.start()

    def _preparing(self, event: PreparationProgress) -> None:
        now = time.monotonic()
        if event.stage != self._stage:
            self._stage, self._stage_began = event.stage, now
            self._bar.update(self._task, total=event.total, visible=True)
        speed = event.done / 1e6 / max(now - self._stage_began, 1e-3)
        total = "" if event.total is None else f" of {event.total / 1e6:,.0f}"
        line = f"{event.stage} · {event.done / 1e6:,.0f}{total} MB · {speed:,.0f} MB/s"
        if self._live:
            self._bar.update(self._task, completed=event.done, description=line)
        elif now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            self._output.say(line)

    def _started(self, event: TrainingStarted) -> None:
        for line in started_parts(event):
            self._output.say(self._line(line))
        self._bar.update(self._task, total=event.steps, completed=event.resumed_from_step, visible=True)

    def _step(self, event: StepTaken) -> None:
        self._loss.add(event.loss)
        if self._live:
            line = fit_line(figure_parts(event, self._loss.value), self._width - _BAR - 1)
            self._bar.update(self._task, total=event.steps, completed=event.step, description=line)
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._output.say(self._line(step_parts(event, self._loss.value)))

    def _evaluated(self, event: Evaluated) -> None:
        self._last_line = time.monotonic()
        if event.protocol != self._protocol:
            self._protocol = event.protocol
            self._output.say(f"validation is measured by the protocol {event.protocol}")
        self._output.say(self._line(evaluated_parts(event)))
        if self._samples:
            self._output.say(_shown_sample(event.sample, self._width), style="dim")


def fit_line(parts: Sequence[Part], width: int) -> str:
    """The parts in one line of at most `width` columns; those with the highest numbers go first."""
    kept = list(parts)
    while True:
        line = join_parts(kept)
        if len(kept) == 1 or cell_len(line) <= width:
            return chop_cells(line, width)[0] if line and cell_len(line) > width else line
        kept.remove(max(kept))


def _shown_sample(sample: str, width: int) -> str:
    """Indented, broken between words and cut to a few lines; what could steer a terminal is replaced."""
    lines = []
    for line in sample.split("\n"):
        lines += wrap(visible(line.expandtabs(4)), width - len(_INDENT)).split("\n")
    more = "…" if len(lines) > _SAMPLE_LINES else ""
    return "\n".join(f"{_INDENT}{line}".rstrip() for line in lines[:_SAMPLE_LINES]) + more
