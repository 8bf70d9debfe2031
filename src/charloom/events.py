"""What the library reports while it works. It never prints: whoever calls passes a `notify` function.

The command line renders these; another program may log them, draw them, or ignore them. A listener that fails ends
nothing: see `unfailing`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DownloadProgress",
    "Evaluated",
    "Event",
    "LogLine",
    "ModelSaved",
    "Notice",
    "Notify",
    "PreparationProgress",
    "StatusChanged",
    "StepTaken",
    "TrainingStarted",
    "TransferProgress",
    "Warned",
]


@dataclass(frozen=True)
class Notice:
    """Something a person should know that is not an error. One sentence."""

    message: str


@dataclass(frozen=True)
class Warned(Notice):
    """A notice that changes what a result means, such as a log that was not read."""


@dataclass(frozen=True)
class DownloadProgress:
    """A named corpus is being fetched. `total` is in bytes."""

    name: str
    received: int
    total: int


@dataclass(frozen=True)
class PreparationProgress:
    """A corpus is being prepared: first its text is read, then encoded. In bytes; `total` where it is known."""

    stage: Literal["reading", "encoding"]
    done: int
    total: int | None


@dataclass(frozen=True)
class TrainingStarted:
    """Training is about to take its first step (or, resumed, its next one).

    Attributes:
        output: the model directory.
        parameters: trained weights.
        vocab_size: symbols that the model tells apart.
        characters: of the training split (bytes with a bytes vocabulary).
        validation_characters: of the validation split.
        batch_size: rows of text read side by side.
        bptt: characters a row advances between updates.
        steps: updates in all; with a budget, how many are expected.
        steps_per_epoch: updates that a pass over the training split takes.
        device: where it trains, as in `cpu` or `cuda:0`.
        resumed_from_step: where an interrupted run is taken up; 0 when none is.
    """

    output: str
    parameters: int
    vocab_size: int
    characters: int
    validation_characters: int
    batch_size: int
    bptt: int
    steps: int
    steps_per_epoch: int
    device: str
    resumed_from_step: int


@dataclass(frozen=True)
class StepTaken:
    """One window was learned.

    Attributes:
        step: updates made so far, this one included.
        steps: updates in all, as far as one can tell.
        epoch: passes over the training split so far.
        loss: the window's mean, in nats a character.
        learning_rate: of this update.
        characters_per_second: learned from, over the last updates.
        seconds_left: to the end of the run, as far as one can tell.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    characters_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """The whole validation split was measured.

    Attributes:
        step: updates made so far.
        steps: updates in all, as far as one can tell.
        epoch: passes over the training split so far.
        train_loss: the mean of the last windows, in nats a character; NaN before any was recorded.
        validation_loss: in nats a character.
        bits_per_char: the same in bits.
        protocol: how it was measured.
        best: whether its loss is the lowest so far.
        characters_per_second: learned from, over the last updates.
        sample: a short text that the model writes at this point.
    """

    step: int
    steps: int
    epoch: float
    train_loss: float
    validation_loss: float
    bits_per_char: float
    protocol: str
    best: bool
    characters_per_second: float
    sample: str


@dataclass(frozen=True)
class ModelSaved:
    """The model directory was committed."""

    path: str
    step: int


@dataclass(frozen=True)
class TransferProgress:
    """A file is on its way to or from S3. In bytes."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class StatusChanged:
    """A job or an endpoint has come to another state."""

    name: str
    status: str
    detail: str = ""


@dataclass(frozen=True)
class LogLine:
    """A line that a job or an endpoint far away has written."""

    message: str


Event = (
    Notice
    | DownloadProgress
    | PreparationProgress
    | TrainingStarted
    | StepTaken
    | Evaluated
    | ModelSaved
    | TransferProgress
    | StatusChanged
    | LogLine
)
"""Any of these."""
Notify = Callable[[Event], None]
"""What `notify` takes: a function that is called with each event."""


def ignore(event: Event) -> None:
    """The default listener: ignore all events."""


def unfailing(notify: Notify) -> Notify:
    """Pass events on to a listener until it raises; that is logged once, and what it watched goes on without it.

    What is not an `Exception`, such as KeyboardInterrupt, passes.
    """
    listening = True

    def passed_on(event: Event) -> None:
        nonlocal listening
        if not listening:
            return
        try:
            notify(event)
        except Exception:  # a closed window, a full disk, a mistake in somebody's callback
            listening = False
            logging.getLogger("charloom").warning(
                "notify failed and is not called any more; the work goes on", exc_info=True
            )

    return passed_on
