"""What the library tells while it works. It never prints: whoever calls passes a `notify` function.

The command line renders these; another program may log them, draw them, or ignore them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Notice:
    """Something a person should know that is not an error. One sentence."""

    message: str


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
    """Training is about to take its first step (or, resumed, its next one)."""

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
    """One window was learned. `loss` is its mean in nats a character; rates are over the last steps."""

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    characters_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """The whole validation split was measured. `sample` is a short text written by the model at this point."""

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
Notify = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The default listener: nobody is watching."""
