"""The history of a run as it is made: `metrics.jsonl`, a line at a time. `charloom.bundle` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from charloom.bundle import read_history
from charloom.files import atomic_write, storage_errors


class History:
    """Appends records to a JSON-lines file."""

    def __init__(self, path: Path, keep_until_step: int, *, writes: bool = True) -> None:
        """Begin a history, or go on with one from a step; what was recorded after it is dropped.

        Without `writes` (a rank that another one writes for) nothing is ever written.

        Raises:
            StorageError: the file cannot be read or written.
        """
        self.path = path
        self._writes = writes
        self.forget_after(keep_until_step)

    def forget_after(self, step: int) -> None:
        """Drop what was recorded after a step.

        Raises:
            StorageError: the file cannot be read or written.
        """
        if not self._writes:
            return
        with storage_errors(self.path):
            kept = [record for record in read_history(self.path) if record["step"] <= step]
        with atomic_write(self.path) as file:
            file.writelines(_line(record) for record in kept)

    def add(self, record: Mapping[str, object]) -> None:
        """Append one record.

        Raises:
            StorageError: the disk is full.
        """
        if not self._writes:
            return
        with storage_errors(self.path), self.path.open("ab") as file:
            file.write(_line(record))


def _line(record: Mapping[str, object]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()
