"""`charloom.cross_score`: each line of a log by a model that has not learned the stretch the line is in.

What repeats in a log is learned as ordinary, a fault too. A fault mostly repeats within a short time, and a model of
the rest of the log has not seen it. In statistics this is cross-fitting, here by contiguous parts.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Unpack

from charloom.errors import CorpusError, StorageError, UsageError
from charloom.events import (
    Evaluated,
    Event,
    ModelSaved,
    Notice,
    Notify,
    StepTaken,
    TrainingStarted,
    ignore,
    unfailing,
)
from charloom.options import LearningOptions
from charloom.runtime.masks import Masks, compile_masks
from charloom.runtime.model import Model, load
from charloom.runtime.scored_files import NamedFiles
from charloom.runtime.scores import Score
from charloom.settings import Duration, RunSettings, run_settings
from charloom.text.sources import list_specs
from charloom.training.budget import shared_budget
from charloom.training.progress import shown
from charloom.training.recipes import DEFAULT_RECIPE, load_recipe
from charloom.training.run import train_specs

_MOST_PARTS = 100
_LEAST_LINES = 20  # of a part
_LEAST_SECONDS = 2  # of a budget, for a model
_DEFAULTS: LearningOptions = {"clean": ["mask-numbers"], "items": False}  # unless options or a recipe say otherwise


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the log: where it is and what it says."""

    text: str
    file: str | None
    number: int | None


def cross_score(
    corpus: str | Path | Sequence[str | Path],
    *,
    parts: int = 5,
    recipe: str | None = None,
    mask: Masks = (),
    progress: bool = True,
    notify: Notify = ignore,
    **options: Unpack[LearningOptions],
) -> list[Score]:
    """Score each line of a log by a model that has learned the other parts of it; the models are not kept.

    For a log of which no good day is to be had. What is odd for a short time only, in one part, is news to the model
    that scores it. What is odd all the time is not found.

    >>> scores = charloom.cross_score("today.log", budget="1m")
    >>> oddest = sorted(scores, key=lambda score: score.worst_bits or 0, reverse=True)[:20]

    Args:
        corpus: a file, folder, glob, address or name, or several; their lines in order are the log.
        parts: how many contiguous parts of as many lines the log is cut into, and models trained.
        recipe: a named set of settings, or a YAML file; `options` go over it.
        mask: what these regular expressions match in a line, such as a date, is read and not charged.
        progress: as for `charloom.train`.
        notify: is given events, as by `charloom.train`.
        **options: as for `charloom.train`; a budget is for all models together, and the network it chooses too. Unless
            `clean` is given, here or by the recipe, 0 is put in place of every word with a digit (`mask-numbers`).

    Returns:
        The score of each line, in order.

    Raises:
        UsageError: an option cannot work.
        CorpusError: the lines cannot be read, or are too few.
        TrainingError: a loss diverged.
        StorageError: there is no room for temporary files.
    """
    started = time.perf_counter()
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("lines are scored by one process: leave torchrun out")
    if isinstance(parts, bool) or not isinstance(parts, int) or not 2 <= parts <= _MOST_PARTS:
        raise UsageError(f"parts = {parts!r}: choose 2 to {_MOST_PARTS}")
    compile_masks(mask)
    base = load_recipe(recipe or DEFAULT_RECIPE)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in base.corpus.model_fields_set}
    chosen: LearningOptions = {**defaults, **options}  # type: ignore[typeddict-item]  # names of _DEFAULTS
    settings = run_settings(base, chosen)
    if settings.training.track:
        raise UsageError("the models are not kept, and nothing is tracked: leave track out")
    if settings.corpus.validation is not None:
        raise UsageError("a part of what a model learns from validates it: leave validation out")
    with shown(notify, progress=progress) as listener:
        heard = unfailing(listener)
        lines = _read_lines(list_specs(corpus), settings, heard)
        if len(lines) < parts * _LEAST_LINES:
            there = "1 line is" if len(lines) == 1 else f"{len(lines):,} lines are"
            raise CorpusError(f"{there} too few for {parts} parts: at least {parts * _LEAST_LINES:,}")
        budget = shared_budget(settings.training, sum(len(line.text) for line in lines))
        if budget is not None and budget < parts * _LEAST_SECONDS:
            raise UsageError(
                f"budget = {budget}: {parts} models need {_LEAST_SECONDS}s each: give {parts * _LEAST_SECONDS}s or more"
            )
        ends = None if budget is None else started + budget
        return _CrossScoring(lines, parts, settings, recipe, chosen, mask, _Progress(heard, parts), ends).scores()


class _Progress:
    """Reports several trainings as one, and nothing of models that will be gone."""

    def __init__(self, notify: Notify, parts: int) -> None:
        self._notify = notify
        self._left = parts
        self._is_first = True
        self._done = self._step = 0  # updates: of the parts before, of this one
        self._began = self._took = 0.0  # seconds; of the part before
        self._best: Evaluated | None = None

    def begin(self, message: str) -> None:
        self._is_first = not self._done
        self._left -= 1
        self._began = time.perf_counter()
        self._notify(Notice(message))

    def end(self) -> None:
        if self._best is not None:
            self._notify(self._best)
        self._done, self._step, self._best = self._done + self._step, 0, None
        self._took = time.perf_counter() - self._began

    def __call__(self, event: Event) -> None:
        match event:
            case StepTaken():
                self._step = event.step
                took = self._took or time.perf_counter() - self._began + event.seconds_left
                left = event.seconds_left + self._left * took
                self._notify(replace(event, step=self._done + event.step, steps=self._steps(event), seconds_left=left))
            case Evaluated():
                if event.best:
                    self._best = replace(event, step=self._done + event.step, steps=self._steps(event))
            case ModelSaved():
                pass
            case Notice() | TrainingStarted() if not self._is_first:  # much the same of each
                pass
            case _:
                self._notify(event)

    def _steps(self, event: StepTaken | Evaluated) -> int:
        return self._done + event.steps * (self._left + 1)


@dataclass
class _CrossScoring:
    """The parts of a log, one after another: a model is trained, scores lines, and is removed."""

    lines: Sequence[_Line]
    parts: int
    settings: RunSettings
    recipe: str | None
    options: LearningOptions
    masks: Masks
    progress: _Progress
    ends: float | None  # by time.perf_counter, where there is a budget
    over: list[float] = field(default_factory=list)  # seconds of each part beyond its budget: publishing, scoring

    def scores(self) -> list[Score]:
        if self.ends is not None:
            importlib.import_module("torch._dynamo")  # seconds, which would be the first model's: optimizers import it
        scores: list[Score] = []
        for number in range(self.parts):
            begin, end = (len(self.lines) * place // self.parts for place in (number, number + 1))
            shown_as = f"part {number + 1} of {self.parts}: lines {begin + 1:,} to {end:,}"
            self.progress.begin(f"{shown_as} by a model of the others")
            with _temporary_folder() as folder:
                scores += self._score(folder, begin, end, self.parts - number)
            self.progress.end()
        return scores

    def _score(self, folder: Path, begin: int, end: int, left: int) -> list[Score]:
        """The scores of the lines from `begin` to `end`; so many parts are `left`, this one too."""
        started = time.perf_counter()
        seconds = 0.0
        if self.ends is not None:
            seconds = max(1.0, round((self.ends - started) / left - median(self.over or [0.0]), 1))
            self.options["budget"] = Duration(seconds)
        model = self._train(folder, begin, end)
        part = self.lines[begin:end]
        found = model.score_lines((line.text for line in part), mask=self.masks)
        scores = [replace(score, file=line.file, line=line.number) for score, line in zip(found, part, strict=True)]
        if self.ends is not None:
            # What the first budget chose is for all: figures of different networks differ.
            network, training = model.config.model, model.config.training["settings"]
            self.options |= {"num_layers": network.num_layers, "hidden_size": network.hidden_size}
            self.options["precision"] = training["precision"]
            self.over.append(max(0.0, time.perf_counter() - started - seconds))
        return scores

    def _train(self, folder: Path, begin: int, end: int) -> Model:
        """A model of all lines but some, in a folder that also gets these."""
        learned = folder / f"all lines but {begin + 1:,} to {end:,}"  # errors name it
        errors = "surrogateescape" if self.settings.corpus.vocabulary == "bytes" else "strict"
        with learned.open("w", encoding="utf-8", newline="\n", errors=errors) as file:
            file.writelines(f"{line.text}\n" for line in chain(self.lines[:begin], self.lines[end:]))
        options: LearningOptions = {**self.options, "encoding": "utf-8"}
        train_specs(
            [str(learned)], folder / "model", self.recipe, options,
            progress=False, notify=self.progress, temporary=True,
        )  # fmt: skip
        return load(folder / "model", threads=self.settings.training.threads or 1)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="charloom-") as folder:
            yield Path(folder)
    except (OSError, StorageError) as error:
        raise StorageError(
            f"cannot write temporary files in {tempfile.tempdir or 'any folder'}: free some space there, or set the "
            f"variable TMPDIR to another folder"
        ) from error


def _read_lines(specs: list[str], settings: RunSettings, notify: Notify) -> list[_Line]:
    files = NamedFiles(specs, settings.corpus.encoding, notify, keep_bytes=settings.corpus.vocabulary == "bytes")
    return [_Line("".join(line.pieces), line.file, line.line) for line in files.lines()]
