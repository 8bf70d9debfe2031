"""`charloom.train_classes`: a model a class, from a folder with a file a class.

A network is trained on the texts of all classes first. Each class's model starts from it, so that a class of a hundred
lines has learned from all of them how such lines are spelled, and all models have one vocabulary and one size.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Unpack, cast

from charloom.bundle import open_model_directory
from charloom.bundle.classes import (
    NEW,
    ClassesRecord,
    ClassRecord,
    finish_replacement,
    former_classes,
    holds_classes,
    read_classes,
    replace_classes,
    write_classes,
)
from charloom.errors import CorpusError, TrainingError, UsageError
from charloom.events import Notice, Notify, ignore, unfailing
from charloom.files import expand_home, storage_errors
from charloom.folders import FolderLock, contents_of
from charloom.options import LearningOptions
from charloom.runtime.classifier import Classifier
from charloom.runtime.confusion import Confusion
from charloom.runtime.corpora import ModelCorpora
from charloom.settings import Duration, RunSettings, run_settings
from charloom.text.classes import find_classes
from charloom.text.corpus import CorpusSource, load_corpus
from charloom.text.sources import check_outside
from charloom.training.budget import shared_budget
from charloom.training.data import prepare_data
from charloom.training.recipes import DEFAULT_RECIPE, load_recipe
from charloom.training.request import check_folder
from charloom.training.result import TrainingResult
from charloom.training.run import train_specs
from charloom.version import __version__
from charloom.wrong_values import option_name

_ALL: Final = ".all"  # the folder of the model of all classes, while the classes are trained
_SHARE_OF_ALL: Final = 0.5  # of a budget


@dataclass(frozen=True)
class ClassesResult:
    """What training a model a class came to.

    Attributes:
        model: the folder of the models, for `charloom.Classifier`.
        classes: what the run of each class came to.
        accuracy: the share of the held-out lines that are given their class, at a uniform prior; None where
            training was interrupted.
        mean_recall: the mean of that share over the classes.
        held_out: how many lines those are.
        seconds: spent.
        interrupted: it was asked to stop before the end.
    """

    model: str
    classes: dict[str, TrainingResult]
    accuracy: float | None
    mean_recall: float | None
    held_out: int
    seconds: float
    interrupted: bool


def train_classes(
    folder: str | Path,
    output: str | Path,
    *,
    recipe: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    notify: Notify = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    **options: Unpack[LearningOptions],
) -> ClassesResult:
    """Train a model a class, with equal settings, and write a folder of them for `charloom.Classifier`.

    A budget is for all of them together; `epochs` and `steps` are of each run, the first of which is on all classes.

    Args:
        folder: a folder with a text file, or a folder of them, for each class; its name is the class's.
        output: the folder to write.
        recipe: a named set of settings, or a YAML file; `options` go over it.
        overwrite: replace models of classes that are there; they stay until the new ones are whole.
        resume: continue the unfinished training that is there.
        notify: is given events, as by `charloom.train`.
        should_stop: asked in every step; True saves the best so far and ends.
        **options: as for `charloom.train`.

    Raises:
        UsageError: an option cannot work.
        CorpusError: a text cannot be read, is too little, or there are fewer than two.
        TrainingError: the folder is taken, or a loss diverged.
        StorageError: the folder cannot be written.
    """
    started = time.perf_counter()
    heard, target = unfailing(notify), expand_home(output)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("classes are trained by one process: leave torchrun out")
    if options.get("validation") is not None:
        raise UsageError("a part of each class's text validates its model: leave --validation out")
    settings = run_settings(load_recipe(recipe or DEFAULT_RECIPE), options)
    found = find_classes(folder)
    check_outside(target, [str(folder)])
    _check_output(target, overwrite=overwrite, resume=resume)
    texts = _Texts.read(found, settings)
    with FolderLock(target, heard) as lock:
        lock.take()
        finish_replacement(target)
        place = _place(target, texts, overwrite=overwrite)
        record = _begin(place, texts, recipe, options, resume=resume)
        lock.take()
        results = _Run(place, texts, record, heard, should_stop).train()
        interrupted = len(results) < len(texts.paths)
        if not interrupted and place == target:
            finish_replacement(target)
        elif not interrupted:
            replace_classes(target)
            results = {name: replace(result, model=str(target / name)) for name, result in results.items()}
    table = None if interrupted else _held_out(target, texts.paths)
    return ClassesResult(
        model=str(target),
        classes=results,
        accuracy=None if table is None else table.accuracy,
        mean_recall=None if table is None else table.balanced_accuracy,
        held_out=0 if table is None else table.texts,
        seconds=time.perf_counter() - started,
        interrupted=interrupted,
    )


@dataclass(frozen=True)
class _Texts:
    """The classes' texts: where they are and how long."""

    paths: dict[str, Path]
    records: list[ClassRecord]
    characters: dict[str, int]

    @classmethod
    def read(cls, paths: dict[str, Path], settings: RunSettings) -> _Texts:
        records: list[ClassRecord] = []
        characters: dict[str, int] = {}
        for name, path in paths.items():
            corpus = load_corpus([str(path)], settings.corpus)
            lines = sum(bool(line.strip()) for line in corpus.text.split("\n"))
            if not lines:
                raise CorpusError(f"{path} is empty, and a class needs a text")
            records.append(ClassRecord(name=name, lines=lines, sha256=corpus.sha256))
            characters[name] = len(corpus.text)
        everything = CorpusSource([str(path) for path in paths.values()])
        prepare_data(everything, settings.corpus, ignore, apart=True)  # says which text is too short to hold some out
        return cls(paths, records, characters)

    def share(self, name: str) -> float:
        return self.characters[name] / sum(self.characters.values())


def _check_output(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder that is taken by anything but models of classes."""
    under_way = holds_classes(folder / NEW)
    if under_way or holds_classes(folder):
        if resume and overwrite:
            raise UsageError("give --resume or --overwrite, not both")
        under_way = under_way or not read_classes(folder).finished
        if not (overwrite or resume):
            go_on = ", --resume to continue it" if under_way else ""
            raise TrainingError(
                f"{folder} already holds models of classes: "
                f"choose another folder{go_on}, or --overwrite to replace them"
            )
        return
    check_folder(folder, overwrite=False, resume=False)
    if contents_of(folder).others:
        raise TrainingError(f"{folder} holds other files, which are not charloom's: choose another folder")


def _place(folder: Path, texts: _Texts, *, overwrite: bool) -> Path:
    """Where the models are trained: in the folder; beside the models there until all that replace them are whole."""
    beside = folder / NEW
    replaces = overwrite and holds_classes(folder) and read_classes(folder).finished
    if not (replaces or holds_classes(beside)):
        return folder
    for name in texts.paths:
        check_folder(folder / name, overwrite=True, resume=False)
    return beside


def _begin(
    folder: Path, texts: _Texts, recipe: str | None, options: Mapping[str, Any], *, resume: bool
) -> ClassesRecord:
    """The record of the training that begins or is resumed; nothing else is written before it."""
    if resume and holds_classes(folder):
        record = read_classes(folder)
        _check_same(folder, record, texts, recipe, options)
        return record
    for name in texts.paths:
        check_folder(folder / name, overwrite=True, resume=False)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    plain = {name: str(value) if isinstance(value, Duration) else value for name, value in options.items()}
    record = ClassesRecord(
        library_version=__version__,
        recipe=recipe,
        options=plain,
        classes=texts.records,
        trained=[],
        former=former_classes(folder, texts.paths),
    )
    write_classes(folder, record)
    return record


def _check_same(
    folder: Path, record: ClassesRecord, texts: _Texts, recipe: str | None, options: Mapping[str, Any]
) -> None:
    """What is resumed has the texts and the settings that it began with."""
    if record.classes != texts.records:
        raise TrainingError(
            f"these are not the texts that the training in {folder} began with: "
            f"give the same folder, or start anew with --overwrite"
        )
    if recipe is not None and recipe != record.recipe:
        raise UsageError(f"the training to resume has recipe {record.recipe or 'none'}, not {recipe}")
    for name, value in options.items():
        if name not in record.options or str(record.options[name]) != str(value):
            option = option_name(name)
            raise UsageError(f"the training to resume began without {option} {value}: leave it out, or start anew")


class _Run:
    """The runs one after another: on all classes, then on each."""

    def __init__(
        self,
        folder: Path,
        texts: _Texts,
        record: ClassesRecord,
        notify: Notify,
        should_stop: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.texts = texts
        self.record = record
        self.notify = notify
        self.should_stop = should_stop
        self.settings = run_settings(load_recipe(record.recipe or DEFAULT_RECIPE), record.options)
        self.budget = shared_budget(self.settings.training, sum(texts.characters.values()))

    def train(self) -> dict[str, TrainingResult]:
        """What the runs of the classes came to; those up to an interruption."""
        results: dict[str, TrainingResult] = {}
        if not self.record.finished and _ALL not in self.record.trained:
            self.notify(Notice("first all classes together, then each from there"))
            if self._run(_ALL, [str(path) for path in self.texts.paths.values()], _SHARE_OF_ALL).interrupted:
                return results
        for number, (name, path) in enumerate(self.texts.paths.items(), start=1):
            self.notify(Notice(f"class {name} ({number} of {len(self.texts.paths)})"))
            share = (1 - _SHARE_OF_ALL) * self.texts.share(name)
            result = self._run(name, [str(path)], share, start_from=self.folder / _ALL)
            if result.interrupted:
                return results
            results[name] = result
        with storage_errors(self.folder / _ALL):
            if (self.folder / _ALL).is_dir():
                shutil.rmtree(self.folder / _ALL)
        return results

    def _run(self, name: str, specs: list[str], share: float, start_from: Path | None = None) -> TrainingResult:
        trained, under_way = name in self.record.trained, name == self.record.under_way
        options = dict(self.record.options)
        if self.budget is not None:
            options["budget"] = Duration(max(1.0, round(share * self.budget, 1)))
        if start_from is not None and not trained:
            options["items"] = open_model_directory(start_from).config.corpus.items
        if not trained and not under_way:
            self._note(under_way=name)
        result = train_specs(
            specs,
            self.folder / name,
            self.record.recipe,
            cast(LearningOptions, options),
            init_from=start_from,
            overwrite=not (trained or under_way),
            resume=trained or under_way,
            notify=self.notify,
            should_stop=self.should_stop,
            apart=start_from is None,
            looks_back=False,
        )
        if not trained and not result.interrupted:
            self._note(trained=[*self.record.trained, name], under_way=None)
        return result

    def _note(self, **changed: Any) -> None:
        self.record = self.record.model_copy(update=changed)
        write_classes(self.folder, self.record)


def _held_out(folder: Path, paths: Mapping[str, Path]) -> Confusion:
    """How often the lines that no model learned are given their class."""
    classifier = Classifier(folder)
    table = Confusion(classifier.classes)
    for name, path in paths.items():
        for one in classifier.classify_texts(_held_out_lines(folder / name, path)):
            table.add(name, one.best)
    return table


def _held_out_lines(model: Path, path: Path) -> Iterator[str]:
    """Whole lines: one that a cut parts was learned in part."""
    directory = open_model_directory(model)
    vocabulary, at_the_end = directory.vocabulary, directory.config.corpus.validation_split == "tail"
    for segment in ModelCorpora(directory.config, vocabulary).segments(str(path), "validation", ignore):
        _, *lines = vocabulary.decode(segment.ids).split("\n")
        yield from filter(None, lines if at_the_end else lines[:-1])
