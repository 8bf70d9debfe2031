"""A ready view of what happens, for notebooks and scripts: pass it as `notify`."""

from __future__ import annotations

from charloom.events import Event
from charloom.report import event_lines
from charloom.sagemaker.container.report import say


def show(event: Event) -> None:
    """Write an event on stdout, as a line for people: prices, states, log lines, losses.

        charloom.sagemaker.train(aws, "your-text.txt", notify=charloom.sagemaker.show)

    Args:
        event: what has happened; steps between two measurements are left out.
    """
    for line in event_lines(event):
        say(line)
