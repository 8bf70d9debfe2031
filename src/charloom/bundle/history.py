"""`metrics.jsonl`: the history of a run, a JSON object a line, read without trusting it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from charloom.bundle.open_files import read_shown
from charloom.settings import Protocol

Record = dict[str, Any]

_LINE_LIMIT = 1 << 20  # bytes: a record is a few hundred, and its sample may be longer
_RECENT = 4 << 20  # bytes: more than 5,000 evaluations
_STEP_LIMIT = 2**53
_POINTS = 100  # of a line: more than a screen's width shows apart
_PROTOCOLS = get_args(Protocol)


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation, with the training figures that come before it in the history; None = not recorded."""

    step: int
    epoch: float | None
    seconds: float | None
    train_loss: float | None
    validation_loss: float | None
    bits_per_char: float | None
    protocol: str | None
    learning_rate: float | None
    characters_per_second: float | None


def read_history(path: Path) -> Iterator[Record]:
    """The records of a history, oldest first; lines that are none, as after a crash, are passed over."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        # By line feeds alone: a sample may hold characters that Python, too, would end a line at.
        while line := file.readline(_LINE_LIMIT):
            record = _parse(line)
            if record is not None:
                yield record


def read_recent_history(path: Path, sha256: str | None = None) -> list[Record]:
    """The records at the end of a history that anyone may have written, oldest first; see `read_shown`.

    Args:
        path: the file.
        sha256: the checksum that config.json names, if it does.
    """
    content = read_shown(path, sha256, _RECENT, end=True) or b""
    lines = content.split(b"\n")
    whole = lines if len(content) < _RECENT else lines[1:]  # the first may have been cut
    return [record for line in whole if (record := _parse(line)) is not None]


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if type(step) is int and 0 <= step < _STEP_LIMIT else None  # not isinstance: true is not a step


def evaluations(records: Iterable[Record]) -> list[EvaluationRecord]:
    """What a history records of each evaluation; anything in it that is not a number is taken as not recorded."""
    found, latest = [], Record()
    for record in records:
        if "validation_loss" not in record:
            latest = record
            continue
        protocol = record.get("protocol")
        found.append(
            EvaluationRecord(
                step=record["step"],
                epoch=number(record, "epoch"),
                seconds=number(record, "seconds"),
                train_loss=number(latest, "train_loss"),
                validation_loss=number(record, "validation_loss"),
                bits_per_char=number(record, "bits_per_char"),
                protocol=protocol if protocol in _PROTOCOLS else None,
                learning_rate=number(latest, "learning_rate"),
                characters_per_second=number(latest, "characters_per_second"),
            )
        )
    return found


Point = tuple[int, float]


@dataclass(frozen=True)
class LearningCurve:
    """Bits a character while training, thinned to what a picture shows.

    Attributes:
        training: steps, and the loss on what was learned from.
        validation: the same on what was held out.
    """

    training: tuple[Point, ...]
    validation: tuple[Point, ...]


def learning_curve(records: Sequence[Record]) -> LearningCurve:
    """The two lines of a history."""
    bits = _bits_a_nat(records)
    return LearningCurve(_line(records, "train_loss", bits), _line(records, "validation_loss", bits))


def _bits_a_nat(records: Sequence[Record]) -> float:
    """Bits a character for each nat a symbol: with a vocabulary of bytes, a character is several symbols."""
    for record in reversed(records):
        nats, bits = number(record, "validation_loss"), number(record, "bits_per_char")
        if nats and bits and nats > 0 and bits > 0:
            return bits / nats
    return 1 / math.log(2)


def _line(records: Sequence[Record], name: str, bits: float) -> tuple[Point, ...]:
    losses = ((record["step"], number(record, name)) for record in records)
    points = [(step, round(loss * bits, 4)) for step, loss in losses if loss is not None and math.isfinite(loss * bits)]
    if len(points) <= _POINTS:
        return tuple(points)
    return tuple(points[round(place * (len(points) - 1) / (_POINTS - 1))] for place in range(_POINTS))


def best_evaluation(history: Iterable[EvaluationRecord]) -> EvaluationRecord | None:
    """The evaluation with the lowest validation loss; the first of them, as in training."""
    measured = [record for record in history if record.validation_loss is not None]
    return min(measured, key=lambda record: record.validation_loss or 0.0, default=None)


def number(record: Record, name: str) -> float | None:
    """A finite number of a record, or None."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e300 and math.isfinite(value) else None
