"""How the window of back-propagation matters: validation loss of equal networks, characters and updates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from charloom.bundle import EvaluationRecord, evaluations, open_model_directory, read_history
from figures import style
from figures.models import WINDOWS

COLOURS = (style.ORANGE, style.GREEN, style.BLUE)


def history(model: Path) -> list[EvaluationRecord]:
    """The evaluations of a run."""
    return evaluations(read_history(model / "metrics.jsonl"))


def draw(histories: Mapping[int, list[EvaluationRecord]]) -> bytes:
    """Loss against passes over the text, a line for each window."""
    with style.figure(6.6, 3.8) as figure:
        axes = figure.subplots()
        for (bptt, records), colour in zip(histories.items(), COLOURS, strict=True):
            measured = [r for r in records if r.epoch is not None and r.validation_loss is not None]
            epochs = [record.epoch or 0.0 for record in measured]
            losses = [record.validation_loss or 0.0 for record in measured]
            label = f"windows of {bptt} ({WINDOWS[bptt]} rows)"
            axes.plot(epochs, losses, color=colour, label=label, marker="o", markersize=3)
        later = [r.validation_loss or 0.0 for records in histories.values() for r in records[1:]]
        if later:
            axes.set_ylim(min(later) - 0.03, max(later) + 0.1)  # the first points, far above, would hide the rest
        axes.set_xlabel("passes over the text")
        axes.set_ylabel("validation loss (nats a character)")
        axes.grid(linewidth=0.8)
        axes.legend()
        return style.svg(figure, "Validation loss by the window of back-propagation")


def figures(models: Mapping[int, Path]) -> dict[str, object]:
    """The numbers that the pages speak of: the losses of the weights that were kept."""
    return {
        f"bptt {bptt}": {
            protocol: round(loss.loss, 4) for protocol, loss in open_model_directory(path).config.losses.items()
        }
        for bptt, path in models.items()
    }
