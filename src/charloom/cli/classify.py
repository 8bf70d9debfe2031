"""`charloom classify`: which of several models explains files, or lines, best; and how often that is right."""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import Parameter
from rich.cells import cell_len, set_cell_size

from charloom.bundle import holds_model, open_model_directory
from charloom.bundle.classes import holds_classes
from charloom.bundle.hub import HubAddress
from charloom.cli.arguments import CorpusArgument, Threads, corpus_specs
from charloom.cli.console import LEAST_WIDTH
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import visible
from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.runtime.classifier import Classification, Classifier, Labels, Prior
from charloom.runtime.confusion import Confusion
from charloom.settings import Precision

_LONGEST = 500  # columns of a text


def classify(
    *model_then_file: CorpusArgument,
    lines: Annotated[bool, Parameter(negative=())] = False,
    prior: list[str] | None = None,
    labels: Labels | None = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    encoding: str = "utf-8",
    threads: Threads = 1,
    precision: Precision = "auto",
    options: OutputOptions = OutputOptions(),
) -> None:
    """Say which of several models explains files, or lines, best: the probability of each by Bayes' rule.

    Parameters
    ----------
    model_then_file
        A folder that charloom train --classes wrote, or two model directories or more, whose names are the classes';
        then what to classify: files, folders, globs, addresses, names; - is stdin. Of a text of more than 262,144
        characters the beginning is read.
    lines
        Classify each line by itself, its end included.
    prior
        How probable each class is beforehand: uniform; sizes, the shares of the lines trained on (a folder of
        classes); or CLASS=PROBABILITY, once or several times, the other classes sharing the rest. Uniform if not given.
    labels
        Say how often it is right, where the class of each text is known: first, before the first tab of each line;
        last, after its last tab; file, the name of the file, or of the folder it is in.
    csv
        Write a table in CSV, with a column a class.
    encoding
        The encoding of the files.
    threads
        Processor threads.
    precision
        Which graphs to run; auto takes int8, the faster, where it is about as good as float32.
    """
    out = Output(options)
    if csv and out.json:
        raise UsageError("give --csv or --json, not both")
    models, specs = _models_and_files(corpus_specs(model_then_file))
    started = time.perf_counter()
    classifier = Classifier(models, prior=_prior(prior), threads=threads, precision=precision)
    by_line = lines or labels in ("first", "last")
    with TrainingView(out) as notify:  # a bar for what is fetched; it must not be there when stdout is written to
        found = classifier.classify_files(specs, lines=lines, labels=labels, encoding=encoding, notify=notify)
    view = _view(out, classifier.classes, by_line=by_line, csv=csv, labelled=labels is not None)
    confusion = None if labels is None else Confusion(classifier.classes)
    tally = _Tally()
    view.begin()
    for one in tally.count(found):
        if confusion is not None and one.label is not None:
            confusion.add(one.label, one.best)
        view.show(one)
    view.end(confusion)
    tally.summarize(out, time.perf_counter() - started, "line" if by_line else "file")


def _models_and_files(named: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The model directories come first; what follows them is classified."""
    if not named:
        raise UsageError("name the models, or a folder that charloom train --classes wrote, and then the files")
    paths = [expand_home(name) for name in named]
    count = next((n for n, path in enumerate(paths) if not _is_model(path)), len(paths))
    if count == 0:
        open_model_directory(paths[0])  # says why it is none
    if count == len(paths):
        raise UsageError("name a file to classify after the models, or - for standard input")
    return paths[:count], list(named[count:])


def _is_model(path: Path) -> bool:
    return HubAddress.parse(path) is not None or holds_classes(path) or holds_model(path)


def _prior(given: Sequence[str] | None) -> Prior:
    if not given:
        return "uniform"
    if len(given) == 1 and given[0] in ("uniform", "sizes"):
        return given[0]
    shares: dict[str, float] = {}
    for one in given:
        name, equals, number = one.rpartition("=")
        if name in shares:
            raise UsageError(f"--prior {name} is given twice: give it once")
        try:
            shares[name] = float(number)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise UsageError(f"--prior {one}: give uniform, sizes, or a class and its probability, as in English=0.5")
    return shares


class _View(Protocol):
    def begin(self) -> None: ...

    def show(self, one: Classification) -> None: ...

    def end(self, confusion: Confusion | None) -> None: ...


def _view(out: Output, classes: Sequence[str], *, by_line: bool, csv: bool, labelled: bool) -> _View:
    if out.json:
        return _JsonView(out, by_line, labelled)
    return _CsvView(out, classes, by_line, labelled) if csv else _TableView(out, classes, labelled)


def _place(one: Classification, by_line: bool, labelled: bool) -> dict[str, Any]:
    """Where a text is, and what is known of it, by the names and in the order that JSON and CSV share."""
    line = {"line": one.line, "text": one.text} if by_line else {}
    return {"file": one.file, **line, **({"label": one.label} if labelled else {}), "class": one.best}


class _JsonView:
    """One JSON object a text; at the end one of how often it was right, where that is known."""

    def __init__(self, out: Output, by_line: bool, labelled: bool) -> None:
        self._out = out
        self._by_line = by_line
        self._labelled = labelled

    def begin(self) -> None:
        """JSON lines have no head."""

    def show(self, one: Classification) -> None:
        figures = {
            "probabilities": one.probabilities,
            "nats": one.nats,
            "characters": one.characters,
            "unknown": one.unknown,
        }
        self._out.result({**_place(one, self._by_line, self._labelled), **figures})

    def end(self, confusion: Confusion | None) -> None:
        if confusion is not None:
            self._out.result(_report(confusion))
        self._out.result_of_warnings()


class _CsvView:
    """A row a text; the columns after `class` are the probabilities of the classes."""

    def __init__(self, out: Output, classes: Sequence[str], by_line: bool, labelled: bool) -> None:
        self._out = out
        self._writer = csv.writer(out, lineterminator="\n")
        self._classes = classes
        self._by_line = by_line
        self._labelled = labelled

    def begin(self) -> None:
        empty = Classification("", None, {}, {}, 0, 0)
        names = _place(empty, self._by_line, self._labelled)
        self._writer.writerow([*names, *(f"p_{name}" for name in self._classes)])

    def show(self, one: Classification) -> None:
        place = _place(one, self._by_line, self._labelled).values()
        self._writer.writerow([*place, *(one.probabilities[name] for name in self._classes)])

    def end(self, confusion: Confusion | None) -> None:
        if confusion is not None:
            self._out.say(_headline(confusion))


class _TableView:
    """A line a text for people; where labels are known, how often they were found instead."""

    def __init__(self, out: Output, classes: Sequence[str], labelled: bool) -> None:
        self._out = out
        self._labelled = labelled
        self._columns = max(5, *(cell_len(visible(name)) for name in classes))
        self._width = max(LEAST_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None

    def begin(self) -> None:
        if not self._labelled:
            self._out.text(f"{'class':<{self._columns}}  probability  where")

    def show(self, one: Classification) -> None:
        if self._labelled:
            return
        best = "-" if one.best is None else visible(one.best)
        share = "-" if one.best is None else f"{one.probabilities[one.best]:.3f}"
        where = visible((one.file or "") + ("" if one.line is None else f":{one.line}"))
        text = "" if one.line is None else f"  {visible(one.text[: _LONGEST + 1].expandtabs(4))}"
        line = f"{set_cell_size(best, self._columns)}  {share:>11}  {where}{_cut(text, _LONGEST)}"
        self._out.text(line if self._width is None else _cut(line, self._width))

    def end(self, confusion: Confusion | None) -> None:
        if confusion is not None:
            self._out.text(_headline(confusion))
            self._out.text("\n".join(_rows(confusion)))


def _cut(line: str, width: int) -> str:
    return line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _headline(confusion: Confusion) -> str:
    unread = f"; {confusion.unread:,} empty ones left out" if confusion.unread else ""
    return (
        f"accuracy {_share(confusion.accuracy)} ({confusion.right:,} of {confusion.texts:,}{unread}), "
        f"mean recall of the classes {_share(confusion.balanced_accuracy)}"
    )


def _rows(confusion: Confusion) -> Iterator[str]:
    """The confusion table: a row a true class, a column a class that was given."""
    names = [visible(name) for name in confusion.classes]
    counts = [list(confusion.counts[name].values()) for name in confusion.classes]
    first = max(map(cell_len, names))
    widths = [max(cell_len(name), *(len(f"{row[n]:,}") for row in counts)) for n, name in enumerate(names)]
    titles = (set_cell_size(name, width) for name, width in zip(names, widths, strict=True))
    yield f"{'':<{first}}  {'  '.join(titles)}  recall  precision"
    for name, shown, row in zip(confusion.classes, names, counts, strict=True):
        cells = "  ".join(f"{count:>{width},}" for count, width in zip(row, widths, strict=True))
        figures = f"{_share(confusion.recall(name)):>6}  {_share(confusion.precision(name)):>9}"
        yield f"{set_cell_size(shown, first)}  {cells}  {figures}"


def _report(confusion: Confusion) -> dict[str, Any]:
    return {
        "accuracy": confusion.accuracy,
        "mean_recall": confusion.balanced_accuracy,
        "texts": confusion.texts,
        "empty": confusion.unread,
        "recall": {name: confusion.recall(name) for name in confusion.classes},
        "precision": {name: confusion.precision(name) for name in confusion.classes},
        "confusion": confusion.counts,
    }


class _Tally:
    """Counts what passes through."""

    def __init__(self) -> None:
        self.texts = self.characters = self.unknown = 0

    def count(self, found: Iterator[Classification]) -> Iterator[Classification]:
        for one in found:
            self.texts += 1
            self.characters += one.characters
            self.unknown += one.unknown
            yield one

    def summarize(self, out: Output, seconds: float, what: str) -> None:
        if self.unknown:
            counted, say = (
                ("1 character is", "says") if self.unknown == 1 else (f"{self.unknown:,} characters are", "say")
            )
            out.warn(f"{counted} unknown to all models, and {say} nothing of the class")
        out.say(
            f"({self.texts:,} {what}{'' if self.texts == 1 else 's'}, {self.characters:,} characters; {seconds:.2f} s)",
            style="dim",
        )
