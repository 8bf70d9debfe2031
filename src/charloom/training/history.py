"""The history of a run: `metrics.jsonl`, a line at a time, and the drawing of it, `loss.svg`."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.bundle import best_evaluation, evaluations, history_file, read_history
from charloom.bundle.config import METRICS
from charloom.bundle.history import Record, number
from charloom.errors import StorageError
from charloom.files import atomic_write, storage_errors
from charloom.text.named import cache_folder

_INK = "#4a4f57"
_FAINT = "#e4e7eb"
_TRAINING = "#a7b3c2"
_VALIDATION = "#2f6f8f"
_BEST = "#c8693f"


class History:
    """Appends records to a JSON-lines file."""

    def __init__(self, path: Path, keep_until_step: int, *, writes: bool = True) -> None:
        """Begin a history, or go on with one from a step; what was recorded after it is dropped.

        Without `writes` (a rank that another one writes for) nothing is ever written.
        """
        self.path = path
        self._writes = writes
        self.forget_after(keep_until_step)

    @classmethod
    def of_run(cls, folder: Path, start: int, *, writes: bool) -> History:
        """Where a run records its losses; what was recorded before it was resumed at step `start` is in it already."""
        path, saved = history_file(folder), folder / METRICS
        if start and writes and not path.exists() and saved.is_file():
            with storage_errors(path):
                shutil.copyfile(saved, path)
        return cls(path, keep_until_step=start, writes=writes)

    def forget_after(self, step: int) -> None:
        """Drop what was recorded after a step."""
        if not self._writes:
            return
        with storage_errors(self.path):
            kept = [record for record in read_history(self.path) if record["step"] <= step]
        with atomic_write(self.path) as file:
            file.writelines(_line(record) for record in kept)

    def add(self, record: Mapping[str, object]) -> None:
        """Append one record."""
        if not self._writes:
            return
        with storage_errors(self.path), self.path.open("ab") as file:
            file.write(_line(record))


def _line(record: Mapping[str, object]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = {
    "svg.hashsalt": "charloom",  # the same records give the same bytes
    "svg.fonttype": "none",
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": _INK,
    "grid.color": _FAINT,
    "font.size": 9.5,
}


def draw_losses(records: Iterable[Record]) -> bytes:
    """The picture as SVG; the same bytes for the same records."""
    _keep_the_list_of_fonts_in_our_cache()
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {**matplotlib.rcParamsDefault, **_STYLE, "backend": "svg"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.8))
        _draw(figure, list(records))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _keep_the_list_of_fonts_in_our_cache() -> None:
    """Matplotlib makes two folders in the user's home when it is first used; leave none where the user has none."""
    own = (Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "matplotlib", Path("~/.matplotlib"))
    if "matplotlib" not in sys.modules and not any(os.path.isdir(os.path.expanduser(folder)) for folder in own):  # noqa: PTH111, PTH112  (no error without a home)
        with contextlib.suppress(StorageError):  # a user without a home: matplotlib makes a folder that it removes
            os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))


def _draw(figure: Figure, records: list[Record]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
    figure.subplots_adjust(left=0.11, right=0.91, bottom=0.1, top=0.97, hspace=0.08)
    figure.align_ylabels()
    _draw_loss(upper, records)
    _draw_rate(lower, records)
    _scale(lower, records)


def _draw_loss(axes: Axes, records: list[Record]) -> None:
    few = len(evaluations(records)) <= 60
    steps, losses = _points(records, "train_loss")
    if steps:
        marker = "o" if len(steps) == 1 else ""
        axes.plot(steps, losses, label="training", color=_TRAINING, linewidth=1.4, marker=marker, markersize=3.5)
    steps, losses = _points(records, "validation_loss")
    if steps:
        marker = "o" if few else ""
        axes.plot(steps, losses, label="validation", color=_VALIDATION, linewidth=1.8, marker=marker, markersize=3.5)
    _mark_best(axes, records)
    axes.set_ylabel("loss (nats a character)")
    bits = axes.secondary_yaxis("right", functions=(_bits, _nats))
    bits.set_ylabel("bits a character")
    bits.tick_params(colors=_INK)
    axes.grid(linewidth=0.8)
    axes.margins(y=0.12)
    if axes.lines:
        axes.legend(frameon=False, loc="upper right")
    else:
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center")


def _mark_best(axes: Axes, records: list[Record]) -> None:
    best = best_evaluation(evaluations(records))
    if best is None or best.validation_loss is None:
        return
    label = f"best: {best.validation_loss:.4f} nats, {_bits(best.validation_loss):.3f} bits (step {best.step:,})"
    axes.plot(
        [best.step],
        [best.validation_loss],
        label=label,
        linestyle="",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=_BEST,
        markeredgewidth=1.8,
    )


def _draw_rate(axes: Axes, records: list[Record]) -> None:
    steps, rates = _points(records, "learning_rate")
    axes.plot(steps, rates, color=_TRAINING, linewidth=1.4, marker="." if len(steps) == 1 else "")
    axes.fill_between(steps, rates, color=_FAINT, alpha=0.6, linewidth=0)
    axes.set_ylabel("learning rate")
    axes.set_xlabel("step")
    axes.grid(linewidth=0.8)
    axes.set_ylim(0, max(rates, default=1.0) * 1.15 or 1.0)
    axes.locator_params(axis="y", nbins=3)
    axes.yaxis.set_major_formatter("{x:.3g}")


def _scale(axes: Axes, records: list[Record]) -> None:
    """From the beginning to the last record, in whole steps."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    last = max((record["step"] for record in records), default=0)
    axes.set_xlim(0, max(1, last) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _points(records: list[Record], key: str) -> tuple[list[int], list[float]]:
    """What can be drawn: steps and finite numbers; where a loss was NaN the line has a gap."""
    found = [(record["step"], number(record, key)) for record in records if key in record]
    gap = math.nan
    if key == "learning_rate":
        found = [(step, value) for step, value in found if value is not None]
    return [step for step, _ in found], [gap if value is None else value for _, value in found]


def _bits(nats: Any) -> Any:
    return nats / math.log(2)


def _nats(bits: Any) -> Any:
    return bits * math.log(2)
