"""Training as a person sees it: a bar that moves on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from charloom.cli.output import Output
from charloom.events import (
    DownloadProgress,
    Evaluated,
    Event,
    ModelSaved,
    Notice,
    StepTaken,
    TrainingStarted,
)

_LINE_EVERY = 15.0  # seconds between progress lines where nothing can move


class TrainingView:
    """Renders events. Use as a context manager; call it with each event."""

    def __init__(self, output: Output, *, samples: bool = True) -> None:
        """Show to `output`'s stderr; `samples` shows the texts written on the way."""
        self._output = output
        self._samples = samples
        self._live = output.console.is_terminal and not output.quiet
        self._bar = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=output.console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False)
        self._download: Progress | None = None
        self._last_line = time.monotonic()
        self._smoothed = math.nan

    def __enter__(self) -> TrainingView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Notice():
                self._output.say(f"note: {event.message}", style="yellow")
            case DownloadProgress():
                self._downloading(event)
            case TrainingStarted():
                self._started(event)
            case StepTaken():
                self._step(event)
            case Evaluated():
                self._evaluated(event)
            case ModelSaved():
                self._output.say(f"saved {event.path} (the weights after step {event.step:,})")

    def _downloading(self, event: DownloadProgress) -> None:
        if not self._live:
            return
        if self._download is None:
            self._bar.stop()
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            self._download = Progress(*columns, console=self._output.console, transient=True)
            self._download.add_task(event.name, total=event.total)
            self._download.start()
        self._download.update(self._download.task_ids[0], completed=event.received)
        if event.received >= event.total:
            self._download.stop()
            self._download = None
            self._bar.start()

    def _started(self, event: TrainingStarted) -> None:
        self._output.say(
            f"learning {event.characters:,} characters ({event.vocab_size} symbols) with {event.parameters:,} "
            f"parameters on {event.device}; {event.validation_characters:,} are kept back to validate"
        )
        start = f", from step {event.resumed_from_step:,}" if event.resumed_from_step else ""
        self._output.say(
            f"{event.steps:,} steps of {event.batch_size} rows × {event.bptt} characters "
            f"({event.steps / event.steps_per_epoch:.1f} epochs){start}"
        )
        self._bar.update(self._task, total=event.steps, completed=event.resumed_from_step, visible=True)

    def _step(self, event: StepTaken) -> None:
        # What one window costs jumps about: show a running mean.
        known = not math.isnan(self._smoothed)
        self._smoothed = 0.95 * self._smoothed + 0.05 * event.loss if known else event.loss
        line = (
            f"loss {self._smoothed:.3f} ({self._smoothed / math.log(2):.2f} bits/char) · "
            f"{event.characters_per_second:,.0f} chars/s · {_duration(event.seconds_left)} left"
        )
        if self._live:
            self._bar.update(self._task, completed=event.step, description=line)
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._output.say(f"step {event.step:,}/{event.steps:,} · {line}")

    def _evaluated(self, event: Evaluated) -> None:
        self._last_line = time.monotonic()
        self._output.say(
            f"step {event.step:,}/{event.steps:,} · epoch {event.epoch:.2f} · train {event.train_loss:.3f} · "
            f"validation {event.validation_loss:.4f} nats = {event.bits_per_char:.3f} bits/char "
            f"({event.protocol}){'' if event.best else ' · not the best'}"
        )
        if self._samples:
            self._output.say(_indented(event.sample), style="dim")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _indented(sample: str) -> str:
    return "\n".join(f"    {line}" for line in sample.splitlines())
