"""`charloom.cross_score`: each line of a log by a model that has not learned the stretch the line is in.

What repeats in a log is learned as ordinary, a fault too. A fault mostly repeats within a short time, and a model of
the rest of the log has not seen it. In statistics this is cross-fitting, here by contiguous parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore, unfailing
from charloom.files import storage_errors
from charloom.options import LearningOptions
from charloom.runtime.masks import Masks, compile_masks
from charloom.runtime.model import load
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


@dataclass(frozen=True)
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
        **options: as for `charloom.train`; a budget is for all models together. Unless `clean` is given, 0 is put
            in place of every word with a digit (`mask-numbers`).

    Returns:
        The score of each line, in order.

    Raises:
        UsageError: an option cannot work.
        CorpusError: the lines cannot be read, or are too few.
        TrainingError: a loss diverged.
        StorageError: there is no room for temporary files.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("lines are scored by one process: leave torchrun out")
    if isinstance(parts, bool) or not isinstance(parts, int) or not 2 <= parts <= _MOST_PARTS:
        raise UsageError(f"parts = {parts!r}: choose 2 to {_MOST_PARTS}")
    if options.get("track"):
        raise UsageError("the models are not kept, and nothing is tracked: leave track out")
    compile_masks(mask)
    chosen: LearningOptions = {"clean": ["mask-numbers"], "items": False, **options}
    settings = run_settings(load_recipe(recipe or DEFAULT_RECIPE), chosen)
    with shown(notify, progress=progress) as listener, TemporaryDirectory(prefix="charloom-") as folder:
        heard = unfailing(listener)
        lines = _read_lines(list_specs(corpus), settings, heard)
        if len(lines) < parts * _LEAST_LINES:
            raise CorpusError(f"{len(lines):,} lines are too few for {parts} parts: at least {parts * _LEAST_LINES:,}")
        budget = shared_budget(settings.training, sum(len(line.text) for line in lines))
        if budget is not None:
            chosen["budget"] = Duration(max(1.0, round(budget / parts, 1)))
        scores: list[Score] = []
        for number in range(parts):
            begin, end = (len(lines) * place // parts for place in (number, number + 1))
            heard(Notice(f"part {number + 1} of {parts}: lines {begin + 1:,} to {end:,} by a model of the others"))
            place = Path(folder) / str(number)
            _train(place, [*lines[:begin], *lines[end:]], settings, recipe, chosen, heard)
            model = load(place / "model", threads=settings.training.threads or 1)
            found = model.score_lines((line.text for line in lines[begin:end]), mask=mask)
            pairs = zip(found, lines[begin:end], strict=True)
            scores += [replace(score, file=line.file, line=line.number) for score, line in pairs]
        return scores


def _read_lines(specs: list[str], settings: RunSettings, notify: Notify) -> list[_Line]:
    files = NamedFiles(specs, settings.corpus.encoding, notify, keep_bytes=settings.corpus.vocabulary == "bytes")
    return [_Line("".join(line.pieces), line.file, line.line) for line in files.lines()]


def _train(
    folder: Path,
    lines: list[_Line],
    settings: RunSettings,
    recipe: str | None,
    options: LearningOptions,
    notify: Notify,
) -> None:
    """Train a model on some lines, in a folder that also gets these."""
    learned = folder / "lines.txt"
    with storage_errors(folder):
        folder.mkdir()
        keep_bytes = settings.corpus.vocabulary == "bytes"
        with learned.open(
            "w", encoding="utf-8", newline="\n", errors="surrogateescape" if keep_bytes else "strict"
        ) as file:
            file.writelines(f"{line.text}\n" for line in lines)
    reading: LearningOptions = {**options, "encoding": "utf-8"}
    train_specs([str(learned)], folder / "model", recipe, reading, progress=False, notify=notify)
