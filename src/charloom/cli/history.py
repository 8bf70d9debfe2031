"""The history of a run as a table of at most 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from charloom.bundle import EvaluationRecord, best_evaluation
from charloom.training.lines import duration

ROWS = 15


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    value: Callable[[EvaluationRecord], str]


def _figure(value: float | None, format_: str) -> str:
    """A number where there is one that fits its column."""
    if value is None:
        return "-"
    text = format(value, format_)
    return text if len(text) <= 9 else format(value, ".1e")


_COLUMNS = (
    _Column("step", 11, lambda record: _figure(record.step, ",.0f")),
    _Column("epoch", 9, lambda record: _figure(record.epoch, ".2f")),
    _Column("time", 13, lambda record: _time(record.seconds)),
    _Column("train", 9, lambda record: _figure(record.train_loss, ".4f")),
    _Column("validation", 11, lambda record: _figure(record.validation_loss, ".4f")),
    _Column("bits", 8, lambda record: _figure(record.bits_per_char, ".4f")),
    _Column("rate", 10, lambda record: _figure(record.learning_rate, ".1e")),
)


def history_table(history: list[EvaluationRecord]) -> str:
    """Some evaluations, evenly chosen, the best and the last always among them."""
    if not history:
        return "  no evaluation is recorded"
    best = best_evaluation(history)
    lines = ["".join(column.title.rjust(column.width) for column in _COLUMNS)]
    for record in thinned(history):
        mark = "  best" if record is best else ""
        lines.append("".join(column.value(record).rjust(column.width) for column in _COLUMNS) + mark)
    left_out = len(history) - len(lines) + 1
    if left_out:
        lines.append(f"  ({left_out:,} more; --json shows all)")
    return "\n".join(lines)


def thinned(history: list[EvaluationRecord], rows: int = ROWS) -> list[EvaluationRecord]:
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
