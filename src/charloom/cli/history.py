"""The history of a run for people: its loss as a line of blocks, and a table, neither wider than the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from charloom.bundle import EvaluationRecord, best_evaluation
from charloom.cli.output import Output
from charloom.report import duration

_ROWS = 15
_POINTS = 40
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    rank: int  # where there is no room, the highest goes first
    value: Callable[[EvaluationRecord], str]


def _figure(value: float | None, format_: str) -> str:
    """A number where there is one that fits its column."""
    if value is None:
        return "-"
    text = format(value, format_)
    return text if len(text) <= 9 else format(value, ".1e")


_COLUMNS = (
    _Column("step", 11, 0, lambda record: _figure(record.step, ",.0f")),
    _Column("epoch", 9, 5, lambda record: _figure(record.epoch, ".2f")),
    _Column("time", 13, 4, lambda record: _time(record.seconds)),
    _Column("train", 9, 3, lambda record: _figure(record.train_loss, ".4f")),
    _Column("validation", 11, 1, lambda record: _figure(record.validation_loss, ".4f")),
    _Column("bits", 8, 2, lambda record: _figure(record.bits_per_char, ".4f")),
    _Column("rate", 10, 6, lambda record: _figure(record.learning_rate, ".1e")),
)
_MARK = "  best"


def show_history(out: Output, history: list[EvaluationRecord]) -> None:
    """Print the history."""
    loss = loss_line(history)
    if loss and out.can_show(loss):
        out.sentences(loss)
    out.sentences(history_table(history, out.width))


def loss_line(history: list[EvaluationRecord]) -> str:
    """The validation loss over the run, the highest and the lowest as a full and a low block; empty if too short."""
    losses = [record.validation_loss for record in history if record.validation_loss is not None]
    if len(losses) < 2:
        return ""
    points = min(_POINTS, len(losses))
    chosen = [losses[round(at * (len(losses) - 1) / (points - 1))] for at in range(points)]
    low, high = min(losses), max(losses)
    span = (high / 2 - low / 2) or 1.0  # of halves, which is finite
    blocks = "".join(BLOCKS[int((loss / 2 - low / 2) / span * (len(BLOCKS) - 1) + 0.5)] for loss in chosen)
    return f"validation loss {_figure(losses[0], '.4f')} {blocks} {_figure(losses[-1], '.4f')}"


def history_table(history: list[EvaluationRecord], width: int = 80) -> str:
    """Some evaluations, evenly chosen, the best and the last always among them, with the columns that have room."""
    if not history:
        return "  no evaluation is recorded"
    best = best_evaluation(history)
    columns = _fitting(width)
    lines = ["".join(column.title.rjust(column.width) for column in columns)]
    for record in thin_out(history):
        mark = _MARK if record is best else ""
        lines.append("".join(column.value(record).rjust(column.width) for column in columns) + mark)
    left_out = len(history) - len(lines) + 1
    if left_out:
        lines.append(f"  ({left_out:,} more; --json shows all)")
    return "\n".join(lines)


def _fitting(width: int) -> list[_Column]:
    """The columns of the table that a line has room for, at least the step and the loss."""
    columns = list(_COLUMNS)
    while len(columns) > 2 and sum(column.width for column in columns) + len(_MARK) > width:
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


def thin_out(history: list[EvaluationRecord], rows: int = _ROWS) -> list[EvaluationRecord]:
    """At most `rows` of them."""
    if len(history) <= rows:
        return history
    best = best_evaluation(history)
    chosen = {round(index * (len(history) - 1) / (rows - 2)) for index in range(rows - 1)}
    chosen |= {index for index, record in enumerate(history) if record is best}
    return [history[index] for index in sorted(chosen)]


def _time(seconds: float | None) -> str:
    if seconds is None or not 0 <= seconds < 1e10:
        return "-"
    return duration(seconds) if seconds < 3.6e6 else f"{seconds / 86_400:,.0f} days"
