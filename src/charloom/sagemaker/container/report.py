"""What a job writes to its log: plain lines, the very ones of `charloom train` off a terminal."""

from __future__ import annotations

import io
import sys
import time
import traceback

from charloom.display import ForgivingStream, visible
from charloom.errors import CharloomError
from charloom.events import Evaluated, Event, ModelSaved, Notice, PreparationProgress, StepTaken, TrainingStarted
from charloom.report import SmoothedLoss, duration, evaluated_parts, started_parts, step_parts
from charloom.training.result import TrainingResult

_LINE_EVERY = 15.0  # seconds


def make_streams_safe() -> None:
    """Where a stream cannot show a character it gets an escape instead of a crash; lines come out as they are made."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    sys.stdout, sys.stderr = (
        ForgivingStream(sys.stdout),
        ForgivingStream(sys.stderr),
    )  # a full disk under the log ends no job


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(visible(line) + "\n")
    sys.stdout.flush()


def reason(error: BaseException) -> str:
    """Why the job failed, in one line."""
    if isinstance(error, CharloomError):
        return visible(" ".join(str(error).splitlines()))  # a name that it quotes may have line breaks
    if isinstance(error, MemoryError):
        return "out of memory: use a shorter text, a smaller model, or a larger instance"
    return f"unexpected {type(error).__name__}: {visible(' '.join(str(error).split()))}"


def print_failure(error: BaseException) -> None:
    """Say on stderr why the job failed; a traceback follows only where it is not the user's mistake.

    SageMaker's toolkit takes for the failure's reason what is on stderr from the first line on that has the name
    of one of Python's own exceptions in it: ours has one, at its end.
    """
    kind = next((kind for kind in (ValueError, MemoryError) if isinstance(error, kind)), RuntimeError)
    sys.stderr.write(f"charloom: {reason(error)} ({kind.__name__})\n")
    if not isinstance(error, CharloomError | MemoryError):
        traceback.print_exception(error)
    sys.stderr.flush()


class JobView:
    """Prints events as lines, without samples: text that a model writes may name exceptions, see `print_failure`."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._loss = SmoothedLoss()
        self._last_line = time.monotonic()
        self._protocol: str | None = None

    def __call__(self, event: Event) -> None:
        """Print one event."""
        match event:
            case Notice():
                say(f"note: {event.message}")
            case TrainingStarted():
                for parts in started_parts(event):
                    say(_join_parts(parts))
            case StepTaken():
                self._loss.add(event.loss)
                if self._is_time():
                    say(_join_parts(step_parts(event, self._loss.value)))
            case Evaluated():
                self._evaluated(event)
            case PreparationProgress():
                if self._is_time():
                    say(f"{event.stage} · {event.done / 1e6:,.0f} MB")
            case ModelSaved():
                say(f"saved {event.path} (the weights after step {event.step:,})")

    def _is_time(self) -> bool:
        if time.monotonic() - self._last_line < _LINE_EVERY:
            return False
        self._last_line = time.monotonic()
        return True

    def _evaluated(self, event: Evaluated) -> None:
        self._last_line = time.monotonic()
        if event.protocol != self._protocol:
            self._protocol = event.protocol
            say(f"validation is measured by the protocol {event.protocol}")
        say(_join_parts(evaluated_parts(event)))


def say_result(result: TrainingResult) -> None:
    """What the run came to."""
    start = f", resumed from step {result.resumed_from_step:,}" if result.resumed_from_step else ""
    say(
        f"{result.validation_loss:.4f} nats = {result.bits_per_char:.3f} bits per character ({result.protocol}), "
        f"after {result.epochs:.2f} epochs in {duration(result.seconds)}, "
        f"{result.characters_per_second:,.0f} characters a second{start}"
    )


def _join_parts(parts: list[tuple[int, str]]) -> str:
    return " · ".join(text for _, text in parts)
