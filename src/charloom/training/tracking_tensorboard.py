"""TensorBoard: event files under `tensorboard/` of the model directory.

Written here and at once, not by the library's own writer: that one works in a thread of its own, which on a full
disk prints a traceback and leaves its caller waiting; and it puts the machine's name into the file's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, BinaryIO

from charloom.bundle.config import TENSORBOARD

_PATTERN = "events.out.tfevents.*.charloom"


class TensorBoardTracker:
    """One event file a run or resumption."""

    def __init__(self, folder: Path) -> None:
        """Record in `folder`'s `tensorboard/`."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.text import metadata
        from tensorboard.summary.writer.record_writer import RecordWriter
        from tensorboard.util import tensor_util

        self._proto: Any = event_pb2
        self._text: Any = metadata
        self._tensor: Any = tensor_util
        self._record_writer: Any = RecordWriter
        self._folder = folder / TENSORBOARD
        self._file: BinaryIO | None = None

    def begin(self, facts: dict[str, object], resumed_from_step: int) -> None:
        """Begin a file, or go on in a new one; what older ones hold after the step is hidden from view."""
        self.end("KILLED")  # of a run that starts again
        self._folder.mkdir(exist_ok=True)
        self._file = (self._folder / _next_name(self._folder)).open("wb", buffering=0)
        self._write(file_version="brain.Event:2")
        if resumed_from_step:
            start = self._proto.SessionLog(status=self._proto.SessionLog.START)
            self._write(step=resumed_from_step + 1, session_log=start)
        rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in facts.items())
        self._write_text("settings", resumed_from_step, f"| setting | value |\n|---|---|\n{rows}")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record figures."""
        summary = self._proto.Event().summary
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        self._write(step=step, summary=summary)

    def sample(self, step: int, text: str) -> None:
        """Record a text unchanged: indented, it is code to Markdown."""
        self._write_text("sample", step, "\n".join(f"    {line}" for line in text.split("\n")))

    def saved(self, model: Path) -> None:
        """The files are beside the model already."""

    def end(self, outcome: str) -> None:
        """Close the file; TensorBoard knows no outcomes."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_text(self, tag: str, step: int, text: str) -> None:
        summary = self._proto.Event().summary
        tensor = self._tensor.make_tensor_proto([text.encode("utf-8", "replace")])
        summary.value.add(
            tag=f"{tag}/text_summary", tensor=tensor, metadata=self._text.create_summary_metadata(tag, "")
        )
        self._write(step=step, summary=summary)

    def _write(self, **fields: Any) -> None:
        if self._file is None:
            return
        try:
            record = self._proto.Event(wall_time=time.time(), **fields).SerializeToString()
            self._record_writer(self._file).write(record)
        except BaseException:
            self.end("FAILED")  # nothing after half a record could be read
            raise


def forget_events(folder: Path) -> None:
    """Remove the event files that charloom wrote, and their folder if nothing else is in it.

    Raises:
        OSError: a file cannot be removed.
    """
    events = folder / TENSORBOARD
    for path in events.glob(_PATTERN):
        path.unlink()
    if events.is_dir() and not any(events.iterdir()):
        events.rmdir()


def _next_name(folder: Path) -> str:
    """A name that sorts after those of older files: they are read in that order."""
    older = [path.name.split(".")[3] for path in folder.glob(_PATTERN)]
    newest = max((int(part) for part in older if part.isdecimal()), default=0)
    return _PATTERN.replace("*", f"{max(int(time.time()), newest + 1):010d}")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
