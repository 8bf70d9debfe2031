"""`charloom score`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.arguments import CorpusArgument, Threads, Whole, corpus_specs
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.cli.score_views import CsvView, JsonView, ScoreView, TableView
from charloom.errors import UsageError
from charloom.runtime.model import load
from charloom.runtime.scoring import Score, bits_per_char
from charloom.settings import Precision

MAX_TOP = 1_000_000


def score(
    model: Path,
    *file: CorpusArgument,
    lines: Annotated[bool, Parameter(negative=())] = False,
    per_char: Annotated[bool, Parameter(negative=())] = False,
    top: Annotated[int | None, Field(ge=1, le=MAX_TOP), Whole] = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    encoding: str | None = None,
    threads: Threads = 1,
    precision: Precision = "auto",
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Measure how surprising files, or lines, are to a model, in bits per character.

    Parameters
    ----------
    model
        The model directory.
    file
        What to score: files, folders, globs, addresses, names; - is stdin.
    lines
        Score each line by itself, without its newline, as if it were the first of a text.
    per_char
        Also say what each character costs.
    top
        Only this many, the most surprising first (by bits per character).
    csv
        Write a table in CSV; with --per-char a row a character.
    encoding
        The encoding of the files; if not given, that of the text the model was trained on.
    threads
        Processor threads.
    precision
        Which graph to run; auto takes int8, the faster, where it is about as good as float32.
    """
    out = Output(options)
    if csv and out.json:
        raise UsageError("give --csv or --json, not both")
    specs = corpus_specs(file)
    started = time.perf_counter()
    loaded = load(model, threads=threads, precision=precision)
    with TrainingView(out) as notify:  # a bar for what is fetched; it must not be there when stdout is written to
        found = loaded.score_files(specs, lines=lines, per_char=per_char, encoding=encoding, notify=notify)
    tally = Tally(found)
    scores: Iterable[Score] = tally if top is None else most_surprising(tally, top)
    view = _view(out, csv=csv, per_char=per_char, lines=lines)
    view.begin()
    for one in scores:
        view.show(one)
    view.end()
    _summarize(out, tally, time.perf_counter() - started, "line" if lines else "file", str(loaded.precision))


def _view(out: Output, *, csv: bool, per_char: bool, lines: bool) -> ScoreView:
    if out.json:
        return JsonView(out, lines)
    return CsvView(out, lines, per_char) if csv else TableView(out)


class Tally:
    """Passes scores on and adds them up."""

    def __init__(self, scores: Iterator[Score]) -> None:
        """Nothing added yet."""
        self._scores = scores
        self.texts = self.characters = self.unknown = 0
        self.nats = 0.0

    def __iter__(self) -> Iterator[Score]:
        """The scores, as they come."""
        for score in self._scores:
            self.texts += 1
            self.characters += score.characters
            self.unknown += score.unknown
            self.nats += score.nats
            yield score


def most_surprising(scores: Iterable[Score], count: int) -> list[Score]:
    """The `count` with the most bits a character, the worst first, of equals the earlier; empty texts are left out.

    No more than `count` are held at a time.
    """
    full = (score for score in scores if score.bits_per_char is not None)
    return heapq.nlargest(count, full, key=lambda score: score.bits_per_char or 0.0)


def _summarize(out: Output, tally: Tally, seconds: float, what: str, precision: str) -> None:
    if tally.unknown:
        counted = "1 character is" if tally.unknown == 1 else f"{tally.unknown:,} characters are"
        out.warn(f"{counted} unknown to the model: charged what it gives the unknown character")
    bits = bits_per_char(tally.nats, tally.characters)
    out.say(
        f"({tally.texts:,} {what}{'' if tally.texts == 1 else 's'}, {tally.characters:,} characters"
        f"{'' if bits is None else f', {bits:.4f} bits per character'}; "
        f"{seconds:.2f} s, {tally.characters / max(seconds, 1e-9):,.0f} characters a second, {precision})",
        style="dim",
    )
