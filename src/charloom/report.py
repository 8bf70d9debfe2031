"""What a run reports, as plain lines in parts: a terminal leaves out what does not fit, a job's log has them whole."""

from __future__ import annotations

import math
from collections.abc import Iterable

from charloom.events import (
    Evaluated,
    Event,
    LogLine,
    ModelSaved,
    Notice,
    StatusChanged,
    StepTaken,
    TrainingStarted,
    TransferProgress,
)

Part = tuple[int, str]
"""How soon it is left out (1 = last of all), and the text."""

LOG_METRICS = {
    "train:loss": r"(?:loss|train) ([0-9]+\.[0-9]+)",
    "validation:loss": r"validation ([0-9]+\.[0-9]+) nats",
    "validation:bits_per_char": r"nats = ([0-9]+\.[0-9]+) bits/char",
    "epoch": r"epoch ([0-9]+\.[0-9]+)",
}
"""Regular expressions, each with one group, that find the figures of the lines below in a job's log."""

_MEMORY = 0.95  # how much of the shown loss is past steps'


class SmoothedLoss:
    """The running mean of what windows cost: what a single one costs jumps about. In nats a character."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.value = math.nan

    def add(self, loss: float) -> None:
        """Take in one window's."""
        self.value = loss if math.isnan(self.value) else _MEMORY * self.value + (1 - _MEMORY) * loss


def started_parts(event: TrainingStarted) -> tuple[list[Part], ...]:
    """Three lines: the text, the network, the plan."""
    start = f", from step {event.resumed_from_step:,}" if event.resumed_from_step else ""
    return (
        [(1, f"learning {event.characters:,} characters"), (3, f"{event.vocab_size:,} symbols"),
         (2, f"{event.validation_characters:,} held out")],
        [(1, f"{event.parameters:,} parameters on {event.device}"),
         (2, f"{event.batch_size} {'row' if event.batch_size == 1 else 'rows'} × {event.bptt} characters a step")],
        [(1, f"{event.steps:,} steps{start}"), (2, f"{event.steps / event.steps_per_epoch:.1f} epochs")],
    )  # fmt: skip


def step_parts(event: StepTaken, loss: float) -> list[Part]:
    """Which step of how many."""
    return [(2, f"step {event.step:,}/{event.steps:,}"), *figure_parts(event, loss)]


def figure_parts(event: StepTaken, loss: float) -> list[Part]:
    """How well and how fast it learns; `loss` is the smoothed one."""
    return [
        (1, f"loss {loss:.3f}"),
        (5, f"{loss / math.log(2):.2f} bits/char"),
        (4, f"{event.characters_per_second:,.0f} chars/s"),
        (3, f"{duration(event.seconds_left)} left"),
    ]


def evaluated_parts(event: Evaluated) -> list[Part]:
    """What the validation split says."""
    known = math.isfinite(event.train_loss)  # after the first update it is not
    parts: list[Part] = [
        (2, f"step {event.step:,}"),
        (5, f"epoch {event.epoch:.2f}"),
        *([(4, f"train {event.train_loss:.3f}")] if known else []),
        (1, f"validation {event.validation_loss:.4f} nats = {event.bits_per_char:.3f} bits/char"),
    ]
    return parts if event.best else [*parts, (3, "not best")]


def event_lines(event: Event) -> list[str]:
    """What stays to be read of an event, in whole lines; none of what only moves, such as a step."""
    match event:
        case Notice():
            return [f"note: {event.message}"]
        case LogLine():
            return [event.message]
        case StatusChanged():
            return [f"{event.name} {event.status}" + (f": {event.detail}" if event.detail else "")]
        case TransferProgress() if event.done >= event.total:
            return [f"{event.name}: {event.total / 1e6:,.1f} MB transferred"]
        case TrainingStarted():
            return [join_parts(parts) for parts in started_parts(event)]
        case Evaluated():
            return [join_parts(evaluated_parts(event))]
        case ModelSaved():
            return [f"saved {event.path} (the weights after step {event.step:,})"]
        case _:
            return []


def join_parts(parts: Iterable[Part]) -> str:
    """All parts in one line."""
    return " · ".join(text for _, text in parts)


def duration(seconds: float) -> str:
    """A length of time for people."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
