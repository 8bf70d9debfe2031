"""The history of a run: `metrics.jsonl`, a line at a time, and `loss.svg`, a picture of it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charloom.files import atomic_write, storage_errors

Record = dict[str, Any]


class History:
    """Appends records to a JSON-lines file."""

    def __init__(self, path: Path, keep_until_step: int) -> None:
        """Begin a history, or go on with one from a step; what was recorded after it is dropped."""
        self.path = path
        kept = [record for record in read_history(path) if record["step"] <= keep_until_step]
        with atomic_write(path) as file:
            file.writelines(_line(record) for record in kept)

    def add(self, record: Mapping[str, object]) -> None:
        """Append one record.

        Raises:
            StorageError: the disk is full.
        """
        with storage_errors(self.path), self.path.open("ab") as file:
            file.write(_line(record))


def _line(record: Mapping[str, object]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


def read_history(path: Path) -> list[Record]:
    """The records of a history; a last line cut short by a crash is passed over."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def _bits(nats: Any) -> Any:
    return nats / math.log(2)


def _nats(bits: Any) -> Any:
    return bits * math.log(2)


def draw_losses(records: list[Record]) -> bytes:
    """A picture of training and validation loss against the step, as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "charloom", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for key, label in (("train_loss", "training"), ("validation_loss", "validation")):
            points = [(record["step"], record[key]) for record in records if key in record]
            steps, losses = zip(*points, strict=True) if points else ((), ())
            marker = "o" if key == "validation_loss" else ""
            axes.plot(steps, losses, label=label, marker=marker, markersize=3)
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats a character)")
        bits = axes.secondary_yaxis("right", functions=(_bits, _nats))
        bits.set_ylabel("bits a character")
        axes.grid(alpha=0.3)
        axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
