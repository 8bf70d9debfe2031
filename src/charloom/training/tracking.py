"""Recording a run where people compare runs: TensorBoard and MLflow, as listeners to its events.

A tracker that fails is reported once and never ends the training: the history in the model directory is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from charloom.errors import MissingExtraError
from charloom.events import Evaluated, Event, ModelSaved, Notice, Notify, StepTaken, TrainingStarted
from charloom.settings import SECTIONS, RunSettings, TrackerName
from charloom.training.tracking_mlflow import MLflowTracker
from charloom.training.tracking_tensorboard import TensorBoardTracker, forget_events
from charloom.version import __version__

POINTS = 1000  # of the training loss in a run, at most about so many

Outcome = Literal["FINISHED", "KILLED", "FAILED"]
Facts = dict[str, object]


class Tracker(Protocol):
    """A place to record a run in. Each method may raise anything."""

    def begin(self, facts: Facts, resumed_from_step: int) -> None:
        """Begin to record, or go on after a step; `facts` are the settings and sizes of the run."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record figures."""

    def sample(self, step: int, text: str) -> None:
        """Record a text that the model wrote."""

    def saved(self, model: Path) -> None:
        """A model was committed, in the run's folder or below it."""

    def end(self, outcome: Outcome) -> None:
        """The run has ended; also called where it never began."""


class Tracking:
    """Passes events on to `notify` and records them with the trackers that are named.

    Attributes:
        stopped: whether the run was asked to stop, which makes its outcome another one.
    """

    def __init__(
        self, folder: Path, names: Sequence[TrackerName], recipe: str | None, notify: Notify, *, writes: bool = True
    ) -> None:
        """Find the libraries; nothing is written before the training starts, and without `writes` nothing ever."""
        self.stopped = False
        self._folder = folder
        self._writes = writes
        self._recipe = recipe
        self._notify = notify
        self._trackers = {name: _make_tracker(name, folder) for name in dict.fromkeys(names if writes else ())}
        self._failed: set[str] = set()
        self._losses: list[float] = []

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = kind is not None and issubclass(kind, Exception)
        outcome: Outcome = "FAILED" if failed else "KILLED" if kind is not None or self.stopped else "FINISHED"
        self._each(lambda tracker: tracker.end(outcome))

    def __call__(self, event: Event) -> None:
        """Notify first, then record."""
        self._notify(event)
        match event:
            case StepTaken():
                self._step(event)
            case Evaluated():
                values = {"validation_loss": event.validation_loss, "bits_per_char": event.bits_per_char}
                self._each(lambda tracker: tracker.scalars(event.step, values))
                self._each(lambda tracker: tracker.sample(event.step, event.sample))
            case ModelSaved(output):
                self._each(lambda tracker: tracker.saved(Path(output)))

    def start(self, settings: RunSettings, event: TrainingStarted) -> None:
        """Tell `notify`, then begin to record a run that has these settings, those of its budget among them."""
        self._notify(event)
        if event.resumed_from_step == 0 and self._writes:
            with contextlib.suppress(OSError):
                forget_events(self._folder)
        facts = _facts(settings, self._recipe, event)
        self._each(lambda tracker: tracker.begin(facts, event.resumed_from_step))

    def _step(self, event: StepTaken) -> None:
        if not self._trackers:
            return
        self._losses.append(event.loss)
        if event.step % max(1, event.steps // POINTS) and event.step != event.steps:
            return
        values = {
            "train_loss": sum(self._losses) / len(self._losses),
            "learning_rate": event.learning_rate,
            "characters_per_second": event.characters_per_second,
        }
        self._losses.clear()
        self._each(lambda tracker: tracker.scalars(event.step, values))

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in self._trackers.items():
            try:
                action(tracker)
            except Exception as error:  # whatever a library, a server or a disk comes up with
                self._tell(name, error)

    def _tell(self, name: str, error: Exception) -> None:
        if name not in self._failed:
            self._failed.add(name)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self._notify(Notice(f"{name} has gaps, training goes on: {reason}"))


def _make_tracker(name: TrackerName, folder: Path) -> Tracker:
    try:
        return TensorBoardTracker(folder) if name == "tensorboard" else MLflowTracker(folder)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"--track {name}", "track") from error


def _facts(settings: RunSettings, recipe: str | None, event: TrainingStarted) -> Facts:
    """Every setting under its own name, and what the text and the network came to."""
    facts: Facts = {"charloom": __version__, "recipe": recipe}
    for section in SECTIONS:
        facts |= getattr(settings, section).model_dump()
    facts |= {
        "batch_size": event.batch_size,
        "bptt": event.bptt,
        "steps": event.steps,
        "device": event.device,
        "parameters": event.parameters,
        "vocab_size": event.vocab_size,
        "training_characters": event.characters,
        "validation_characters": event.validation_characters,
    }
    del facts["track"]
    return {name: value for name, value in facts.items() if value is not None}
