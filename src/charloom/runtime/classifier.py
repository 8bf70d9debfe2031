"""Which model explains a text best: the probability of each by Bayes' rule, one model a class.

    P(class | text) = P(class) · p(text | class) / Σ P(other) · p(text | other)

p(text | class) is what the class's model gives the text, its characters multiplied, from the state after a line end;
the end of a line is one of its characters where all models know it. A character that a model lacks costs the same in
every model: as if it were drawn from all of Unicode. So a model with few characters is not at an advantage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from charloom.bundle.classes import CLASSES, holds_classes, model_folder, read_classes
from charloom.bundle.hub import HubAddress
from charloom.errors import CorpusError, UsageError
from charloom.events import Notify, ignore, unfailing
from charloom.files import expand_home
from charloom.runtime.model import Model, load
from charloom.runtime.scored_files import NamedFiles, several
from charloom.runtime.scores import Score
from charloom.runtime.scoring import LONGEST, Scorer, Text, as_line
from charloom.runtime.session import Logits, Nats, Session, State
from charloom.settings import Precision
from charloom.text.classes import class_of, find_classes
from charloom.text.sources import list_specs
from charloom.text.vocabulary import Ids

UNKNOWN_NATS = math.log(0x110000 - 0x800)
"""What a character costs that a model lacks: one of Unicode's, each as likely."""
_AT_ONCE = 1024  # texts that every model reads before the next ones are taken
_CHARACTERS_AT_ONCE = 1 << 20

Models = str | Path | Sequence[str | Path] | Mapping[str, str | Path]
"""A folder that `charloom train --classes` wrote; or model directories; or these by their classes' names."""
Labels = Literal["first", "last", "file"]
Prior = str | Mapping[str, float]
"""`uniform`, `sizes` (the classes' shares of the lines trained on), or the probability of each class."""


@dataclass(frozen=True)
class Classification:
    """What one text is.

    Attributes:
        text: as it was given; of more than 262,144 characters the beginning, which is all that was read.
        best: the most probable class, of equals the first; None for an empty text.
        probabilities: of each class; they sum to 1.
        nats: −ln p of the text by each class's model, before any prior.
        characters: how many each model was charged for.
        unknown: how many of them even the model that knows most characters lacks.
        label: the class that it is known to have, where labels were read.
        file: the file it is in, if it is in one.
        line: which line of the file it is, from 1; None for a whole file.
    """

    text: str
    best: str | None
    probabilities: dict[str, float]
    nats: dict[str, float]
    characters: int
    unknown: int
    label: str | None = None
    file: str | None = None
    line: int | None = None


class Classifier:
    """Models, one a class, that say together which of them a text is from.

    Attributes:
        classes: their names, in order.
        prior: the probability of each before its text is read.
    """

    def __init__(
        self, models: Models, *, prior: Prior = "uniform", threads: int = 1, precision: Precision = "auto"
    ) -> None:
        """Open the models.

        Args:
            models: a folder that `charloom train --classes` wrote; or two model directories or more, whose names are
                the classes'; or a dictionary from classes to model directories.
            prior: how probable each class is before its text is read: `uniform`; `sizes`, the shares of the lines
                trained on (for a folder of classes); or a dictionary. Classes that it leaves out share the rest.
            threads: processor threads for one model.
            precision: as for `charloom.load`.

        Raises:
            ModelDirectoryError: a folder holds no whole, sound model, or its training is not finished.
            UsageError: fewer than two models, models whose texts were cleaned differently, or a prior that is none.
        """
        found = _find_models(models)
        if len(found.paths) < 2:
            raise UsageError("give two models or more, one a class, or a folder that charloom train --classes wrote")
        opened = {name: load(path, threads=threads, precision=precision) for name, path in found.paths.items()}
        self._take(opened, _priors(prior, tuple(opened), found.lines))

    def _take(self, models: dict[str, Model], prior: dict[str, float]) -> None:
        self._models = models
        self.classes: tuple[str, ...] = tuple(models)
        self.prior = prior
        self._check_cleaning()
        self._scorers = [_scorer(model) for model in self._models.values()]
        self._line_end = "\n" if all(model.line_end for model in self._models.values()) else ""

    def __repr__(self) -> str:
        return f"Classifier({', '.join(self.classes)})"

    def __reduce__(self) -> tuple[object, ...]:
        """Another process is sent the models, as models are sent, and what was derived from the prior."""
        return _sent_again, (self._models, self.prior)

    def classify(self, text: str) -> Classification:
        """Say what one text is, read as a whole; see `classify_texts`."""
        return next(self.classify_texts([text]))

    def classify_texts(self, texts: Iterable[str]) -> Iterator[Classification]:
        """Say what each text is, in their order, lazily.

        Args:
            texts: lines without their line ends, say, such as names: what ends a text is charged as the end of a line.

        Raises:
            UsageError: one text instead of several, or something that is no text.
        """
        return self._classify(_Read(_checked_text(text)[:LONGEST]) for text in several(texts))

    def classify_files(
        self,
        files: str | Path | Sequence[str | Path],
        *,
        lines: bool = False,
        labels: Labels | None = None,
        encoding: str = "utf-8",
        notify: Notify = ignore,
    ) -> Iterator[Classification]:
        """Say what each file is, or each of their lines, in their order, lazily.

        Args:
            files: file, folder, glob, address or name, `-` for standard input, or several of these.
            lines: each line by itself.
            labels: where the known classes are: `first`, before the first tab of each line; `last`, after its last
                tab; `file`, the name of the file, of folders with a file or a folder a class.
            encoding: of the files.
            notify: receives notices of what is passed over and fetched.

        Raises:
            CorpusError: a file is not there or cannot be read, or a line has no label.
            UsageError: nothing is named, the encoding has no such name, or a label is none of the classes, or is to be
                found in no such place.
        """
        if labels is not None and labels not in get_args(Labels):
            raise UsageError(f"labels = {labels!r}: choose first, last or file")
        keep_bytes = all(model.vocabulary.kind == "bytes" for model in self._models.values())
        specs = list_specs(files)
        groups = _labelled(specs) if labels == "file" else [(None, specs)]
        for label, _ in groups:
            self._check_label(label)
        named = [
            (label, NamedFiles(group, encoding, unfailing(notify), keep_bytes=keep_bytes)) for label, group in groups
        ]
        return self._classify(self._read(named, lines=lines or labels in ("first", "last"), labels=labels))

    def _read(
        self, named: Sequence[tuple[str | None, NamedFiles]], *, lines: bool, labels: Labels | None
    ) -> Iterator[_Read]:
        for label, files in named:
            for text in files.lines() if lines else files.whole():
                read = _Read(_beginning(text), text.file, text.line, label)
                yield self._with_label(read, labels) if labels in ("first", "last") else read

    def _with_label(self, read: _Read, labels: Labels) -> _Read:
        """A line taken apart at its first or last tab; an empty one has no label."""
        if not read.text:
            return read
        before, tab, after = read.text.partition("\t") if labels == "first" else read.text.rpartition("\t")
        label, text = (before, after) if labels == "first" else (after, before)
        if not tab:
            raise CorpusError(f"{read.file}, line {read.line}: there is no tab, and so no label")
        self._check_label(label, f"{read.file}, line {read.line}: ")
        return replace(read, text=text, label=label)

    def _check_label(self, label: str | None, where: str = "") -> None:
        if label is not None and label not in self.classes:
            raise UsageError(f"{where}{label!r} is none of the classes, which are {', '.join(self.classes)}")

    def _check_cleaning(self) -> None:
        """Texts that are read differently are different texts: their probabilities cannot be compared."""
        (first, steps), *others = zip(self.classes, map(_scorer, self._models.values()), strict=True)
        for name, scorer in others:
            if scorer.steps != steps.steps:
                raise UsageError(
                    f"{first} reads texts cleaned with {_spelled(steps.steps)} and {name} with "
                    f"{_spelled(scorer.steps)}: train them with the same --clean"
                )

    def _classify(self, waiting: Iterator[_Read]) -> Iterator[Classification]:
        while window := _window(waiting):
            distinct = list(dict.fromkeys(read.text for read in window))
            scored = [Text([as_line(text, self._line_end) if text else ""], whole=True) for text in distinct]
            by_model = [list(scorer.in_turn(scored)) for scorer in self._scorers]
            scores = dict(zip(distinct, zip(*by_model, strict=True), strict=True))
            for read in window:
                yield self._classified(read, scores[read.text])

    def _classified(self, read: _Read, scores: Sequence[Score]) -> Classification:
        nats = {name: score.nats for name, score in zip(self.classes, scores, strict=True)}
        probabilities = posterior(self.prior, nats) if read.text else dict(self.prior)
        return Classification(
            text=read.text,
            best=max(probabilities, key=probabilities.__getitem__) if read.text else None,
            probabilities=probabilities,
            nats=nats,
            characters=scores[0].characters,
            unknown=min(score.unknown for score in scores),
            label=read.label,
            file=read.file,
            line=read.line,
        )


def posterior(prior: Mapping[str, float], nats: Mapping[str, float]) -> dict[str, float]:
    """Bayes' rule: the probability of each class, of its prior and −ln p of the text; they sum to 1."""
    joint = {name: (math.log(share) if share else -math.inf) - nats[name] for name, share in prior.items()}
    most = max(joint.values())
    weights = {name: math.exp(value - most) for name, value in joint.items()}
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


@dataclass(frozen=True)
class _Found:
    paths: dict[str, Path]
    lines: dict[str, int] | None = None


def _sent_again(models: dict[str, Model], prior: dict[str, float]) -> Classifier:
    classifier = Classifier.__new__(Classifier)
    classifier._take(models, prior)
    return classifier


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{text!r:.60} is not a text: give a string")
    return text


def class_name(model: Path) -> str:
    """What a model's class is called where nothing else says it: as its folder, or as it is on the hub."""
    address = HubAddress.parse(model)
    return model.resolve().name if address is None else address.name


def _find_models(models: Models) -> _Found:
    if isinstance(models, Mapping):
        return _Found({str(name): expand_home(path) for name, path in models.items()})
    paths = [
        expand_home(path)
        for path in (models if isinstance(models, Sequence) and not isinstance(models, str) else [models])
    ]
    if len(paths) == 1 and holds_classes(paths[0]):
        record = read_classes(paths[0])
        if not record.finished:
            raise UsageError(
                f"the training of the classes in {paths[0]} is not finished: continue it with "
                f"charloom train --classes ... -o {paths[0]} --resume"
            )
        return _Found(
            {one.name: model_folder(paths[0], record, one.name) for one in record.classes},
            {one.name: one.lines for one in record.classes},
        )
    for path in paths:
        if holds_classes(path):
            raise UsageError(f"{path} holds a model a class already ({CLASSES}): give it alone, or the models in it")
    names = [class_name(path) for path in paths]
    same = next((name for name in names if names.count(name) > 1), None)
    if same is not None:
        raise UsageError(f"two models are called {same}, and a class is called as its model's folder: rename one")
    return _Found(dict(zip(names, paths, strict=True)))


def _priors(prior: Prior, classes: Sequence[str], lines: Mapping[str, int] | None) -> dict[str, float]:
    if isinstance(prior, Mapping):
        return _given_priors(prior, classes)
    if prior == "uniform":
        return dict.fromkeys(classes, 1 / len(classes))
    if prior != "sizes":
        raise UsageError(
            f"prior = {prior!r}: give uniform, sizes, or the probability of classes as in {classes[0]}=0.5"
        )
    if lines is None:
        raise UsageError(
            f"these models do not say how many lines each class has: give the probability of classes as in "
            f"{classes[0]}=0.5, or a folder that charloom train --classes wrote"
        )
    total = sum(lines.values())
    return {name: lines[name] / total for name in classes}


def _given_priors(given: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    for name, share in given.items():
        if name not in classes:
            raise UsageError(f"the prior names {name}, and the classes are {', '.join(classes)}")
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UsageError(f"prior {name} = {share}: give a probability from 0 to 1")
    total, left = math.fsum(given.values()), [name for name in classes if name not in given]
    if total > 1 + 1e-6 or (not left and total < 1 - 1e-6):
        raise UsageError(f"the probabilities of the prior add up to {total:g}: make it 1")
    rest = max(0.0, 1 - total)
    return {name: given[name] if name in given else rest / len(left) for name in classes}


class _UnicodeSession(Session):
    """A network that charges what its vocabulary lacks as one of all characters of Unicode."""

    def __init__(self, session: Session, unknown_id: int) -> None:
        self.shape = session.shape
        self._session = session
        self._unknown_id = unknown_id

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        return self._session.run(ids, state)

    def nats(self, ids: Ids, targets: Ids, state: State) -> tuple[Nats, State]:
        found, state = self._session.nats(ids, targets, state)
        return np.where(targets == self._unknown_id, UNKNOWN_NATS, found), state


def _scorer(model: Model) -> Scorer:
    session, unknown = model._session, model.vocabulary.unknown_id
    charged = session if unknown is None else _UnicodeSession(session, unknown)
    return Scorer(charged, model.vocabulary, model.config.corpus.cleaning)


def _spelled(steps: Sequence[str]) -> str:
    return ", ".join(steps) or "nothing"


@dataclass(frozen=True)
class _Read:
    """A text, as far as it is read."""

    text: str
    file: str | None = None
    line: int | None = None
    label: str | None = None


def _labelled(specs: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """What is named, with the class that each file or folder is named after."""
    found: list[tuple[str | None, list[str]]] = []
    for spec in specs:
        path = expand_home(spec)
        if path.is_dir():
            found += [(name, [str(each)]) for name, each in find_classes(path).items()]
        else:
            found.append((class_of(path), [spec]))
    return found


def _beginning(text: Text) -> str:
    """A text as far as it is read."""
    pieces: list[str] = []
    left = LONGEST
    for piece in text.pieces:
        pieces.append(piece[:left])
        left -= len(pieces[-1])
        if not left:
            break
    return "".join(pieces)


def _window(waiting: Iterator[_Read]) -> list[_Read]:
    """The next texts, as many as are read at once."""
    window: list[_Read] = []
    held = 0
    for read in islice(waiting, _AT_ONCE):
        window.append(read)
        held += len(read.text)
        if held >= _CHARACTERS_AT_ONCE:
            break
    return window
