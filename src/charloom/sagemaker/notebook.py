"""A ready view of what happens, for notebooks and scripts: pass it as `notify`."""

from __future__ import annotations

from charloom.events import (
    Evaluated,
    Event,
    LogLine,
    ModelSaved,
    Notice,
    StatusChanged,
    TrainingStarted,
    TransferProgress,
)
from charloom.report import evaluated_parts, join_parts, started_parts
from charloom.sagemaker.container.report import say


def show(event: Event) -> None:
    """Write an event on stdout, as a line for people: prices, states, log lines, losses.

        charloom.sagemaker.train(aws, "your-text.txt", notify=charloom.sagemaker.show)

    Args:
        event: what has happened; steps between two measurements are left out.
    """
    for line in _lines(event):
        say(line)


def _lines(event: Event) -> list[str]:
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
            return [f"saved {event.path}"]
        case _:
            return []
