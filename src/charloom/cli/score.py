"""`charloom score`: scores as people, programs and spreadsheets read them."""

from __future__ import annotations

import csv
import heapq
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import Parameter
from pydantic import Field
from rich.cells import cell_len, set_cell_size

from charloom.cli.alerts import ODD, AlertOptions, Alerts
from charloom.cli.arguments import CorpusArgument, Threads, Whole, corpus_specs
from charloom.cli.coloured import coloured_by_marks
from charloom.cli.console import LEAST_WIDTH
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import typed, visible
from charloom.errors import UsageError
from charloom.events import Warned
from charloom.files import expand_home
from charloom.runtime.model import Model, load
from charloom.runtime.scores import Ranking, Score, bits_per_char, rank
from charloom.settings import Precision
from charloom.text.sources import shown_name

_MOST_MARKED = 9  # bits that a mark can show
_INDENT = " " * 4
_LINE_END = "↵"
_LONGEST = 500  # columns of a text


class ScoreView(Protocol):
    """Shows scores one by one on stdout."""

    def begin(self) -> None:
        """Nothing was scored yet: a header, where there is one."""

    def show(self, score: Score) -> None:
        """Show one score."""

    def end(self) -> None:
        """All is scored."""


class JsonView:
    """One JSON object a score."""

    def __init__(self, out: Output, lines: bool) -> None:
        """Show lines, or whole files, which have neither number nor text."""
        self._out = out
        self._lines = lines

    def begin(self) -> None:
        """JSON lines have no header."""

    def show(self, score: Score) -> None:
        """One object: file, then line and text, then figures, then the characters."""
        self._out.result(_fields(score, self._lines))

    def end(self) -> None:
        """An object of warnings alone, where some came after the last score."""
        self._out.result_of_warnings()


class CsvView:
    """A row a score, or a row a character; the first row names the columns."""

    _PER_CHAR = ("position", "character", "bits")

    def __init__(self, out: Output, lines: bool, per_char: bool, beyond: bool) -> None:
        """Show lines or files, or each of their characters; also what is beyond another model."""
        self._out = out
        self._beyond = 0.0 if beyond else None
        self._writer = csv.writer(out, lineterminator="\n")
        self._lines = lines
        self._per_char = per_char

    def begin(self) -> None:
        """The names of the columns."""
        if self._per_char:
            self._writer.writerow(["file", *(["line"] if self._lines else []), *self._PER_CHAR])
        else:
            empty = Score(text="", characters=0, unknown=0, nats=0.0, bits_per_char=None, beyond_nats=self._beyond)
            self._writer.writerow(_fields(empty, self._lines))

    def show(self, score: Score) -> None:
        """The rows of one score; what there is no number for is left empty."""
        if self._per_char:
            place = [score.file, score.line] if self._lines else [score.file]
            characters = enumerate(score.per_char or (), start=1)
            self._writer.writerows([*place, number, letter, bits] for number, (letter, bits) in characters)
        else:
            self._writer.writerow(_fields(score, self._lines).values())
        self._out.flush()

    def end(self) -> None:
        """A table in CSV has no last line."""


class TableView:
    """Columns for people; what cannot be printed is shown as a question mark in a box."""

    def __init__(self, out: Output, lines: bool, beyond: bool) -> None:
        """Cut lines where a terminal would break them, and in a file texts that are longer than anybody reads."""
        self._out = out
        self._beyond = beyond
        self._lines = lines
        self._width = max(LEAST_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None

    def begin(self) -> None:
        """The names of the columns."""
        more = "(bits beyond the other model's)" if self._beyond else ""
        self._out.text(f"{'worst  ' if self._lines else ''}bits/char  characters  where  {more}".rstrip())

    def show(self, score: Score) -> None:
        """One line of figures; below it, where asked for, the text with what each character costs."""
        bits = f"{_figure(rank(score, 'worst'), 1):>5}  " if self._lines else ""
        bits += f"{_figure(rank(score, 'mean'), 3):>9}"
        where = (score.file or "") + ("" if score.line is None else f":{score.line}")
        # One letter more than is shown says that the text goes on; the rest of a long line is not looked at.
        shown = "" if score.text is None or score.per_char else f"  {score.text[: _LONGEST + 1].expandtabs(4)}"
        line = visible(f"{bits}  {score.characters:>10,}  {where}") + _cut(visible(shown), _LONGEST)
        self._out.text(line if self._width is None else _cut(line, self._width))
        room = None if self._width is None else max(2, self._width - len(_INDENT))
        for text, marks in _mark_bits(score.per_char or (), room):
            if self._out.has_colours:
                self._out.coloured(coloured_by_marks(_INDENT + text, _INDENT + marks))
                self._out.text(f"{_INDENT}{marks}")
            else:
                self._out.text(f"{_INDENT}{text}\n{_INDENT}{marks}")

    def end(self) -> None:
        """A table has no last line."""


def _figure(bits: float | None, digits: int) -> str:
    return "-" if bits is None else f"{bits:.{digits}f}"


def _cut(line: str, width: int) -> str:
    return line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"


def _fields(score: Score, lines: bool) -> dict[str, Any]:
    """A score's fields by the names and in the order that JSON and CSV share."""
    place = ["file", "line", "text"] if lines else ["file"]
    figures = ["characters", "unknown", "nats", "bits_per_char", "worst_bits", *(["end_bits"] if lines else [])]
    if score.beyond_nats is not None:
        figures += ["beyond_nats", "beyond_bits_per_char", "worst_beyond_bits"]
    names = [*place, *figures]
    names += [name for name in ("odd", "per_char") if getattr(score, name) is not None]
    return {name: getattr(score, name) for name in names}  # asdict copies each field, which took a third of the time


def _mark_bits(per_char: tuple[tuple[str, float], ...], room: int | None = None) -> Iterator[tuple[str, str]]:
    """The text, line by line and in parts of at most `room` columns, and below each character its bits.

    Bits are rounded down; 9 is nine or more, 0 is less than one.

    What takes no column, such as a combining mark, is counted with the character it joins.
    """
    text, columns = "", list[tuple[float, int]]()
    for letter, bits in per_char:
        shown = _LINE_END if letter == "\n" else visible(letter)
        width = cell_len(shown)
        if room is not None and sum(taken for _, taken in columns) + width > room:
            yield text, _marks(columns)
            text, columns = "", []
        text += shown
        if width == 0 and columns:
            columns[-1] = (columns[-1][0] + bits, columns[-1][1])
        else:
            columns.append((bits, max(1, width)))
        if letter == "\n":
            yield text, _marks(columns)
            text, columns = "", []
    if text:
        yield text, _marks(columns)


def _marks(columns: list[tuple[float, int]]) -> str:
    return "".join(f"{max(0, min(_MOST_MARKED, int(bits)))}".ljust(width) for bits, width in columns)


MAX_TOP = 1_000_000


def score(
    model: Path,
    *file: CorpusArgument,
    lines: Annotated[bool, Parameter(negative=())] = False,
    per_char: Annotated[bool, Parameter(negative=())] = False,
    top: Annotated[int | None, Field(ge=1, le=MAX_TOP), Whole] = None,
    by: Ranking | None = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    encoding: str | None = None,
    threads: Threads = 1,
    precision: Precision = "auto",
    alerts: AlertOptions = AlertOptions(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Measure how surprising files, or lines, are to a model, in bits per character.

    Parameters
    ----------
    model
        The model directory.
    file
        What to score: files, folders, globs, addresses, names; - is stdin.
    lines
        Score each line by itself, with the line end that follows it, as if it were the first of a text.
    per_char
        Also say what each character costs.
    top
        Only this many, the most surprising first.
    by
        What --top and --alert rank by: worst, the costliest character (of lines, if not given); mean, the bits per
        character (of files, if not given); total, the bits of all of it.
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
    alerts.check(lines, bool(file))
    specs = corpus_specs(file)
    started = time.perf_counter()
    loaded = load(model, threads=threads, precision=precision)
    other = None if alerts.against is None else load(alerts.against, threads=threads, precision=precision)
    detector = alerts.detector(loaded, other, by, lines)
    measure = partial(loaded.score_files, lines=lines, encoding=encoding, mask=detector.masks, against=other)
    finder = Alerts(out, detector, alerts, measure)
    if not specs and alerts.save_threshold is not None:
        finder.fit_good()
        finder.show_threshold()
        return 0
    with TrainingView(out) as notify:  # a bar for what is fetched; it must not be there when stdout is written to
        tally = Tally(measure(specs, per_char=per_char, notify=notify))
    if lines and (alerts.alert or top is not None):
        _warn_of_learned(out, loaded, specs)
    scores: Iterable[Score] = finder.odd_lines(tally) if alerts.alert else tally
    if top is not None:
        scores = most_surprising(scores, top, detector.by)
    shown = show_scores(score_view(out, csv=csv, per_char=per_char, lines=lines, beyond=other is not None), scores)
    seconds = time.perf_counter() - started
    speed = f"{tally.characters / max(seconds, 1e-9):,.0f} characters a second"
    summarize(out, tally, "line" if lines else "file", f"{seconds:.2f} s, {speed}, {loaded.precision}")
    return ODD if alerts.alert and shown else 0


def show_scores(view: ScoreView, scores: Iterable[Score]) -> int:
    """Show all of them; return how many there were."""
    view.begin()
    shown = 0
    for one in scores:
        view.show(one)
        shown += 1
    view.end()
    return shown


def _warn_of_learned(out: Output, model: Model, specs: Sequence[str]) -> None:
    """What is looked for in the text that was learned was learned, too, unless it is there once."""
    record = model.config.corpus
    learned = next((spec for spec in specs if shown_name(expand_home(spec)) in record.sources), None)
    if learned is not None and not record.items:
        name = visible(shown_name(expand_home(learned)))
        out.note(
            Warned(
                f"the model learned a text called {name}: if it is this one, lines that repeat in it cost little, odd "
                f"ones too; learn from a text without them, or try {typed('charloom', 'cross-score', learned)}"
            )
        )


def score_view(out: Output, *, csv: bool, per_char: bool, lines: bool, beyond: bool) -> ScoreView:
    if out.json:
        return JsonView(out, lines)
    return CsvView(out, lines, per_char, beyond) if csv else TableView(out, lines, beyond)


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


def most_surprising(scores: Iterable[Score], count: int, by: Ranking) -> list[Score]:
    """The `count` with the most bits, the worst first, of equals the earlier; empty texts are left out.

    No more than `count` are held at a time.
    """
    full = (score for score in scores if score.characters)
    return heapq.nlargest(count, full, key=lambda score: rank(score, by) or 0.0)


def summarize(out: Output, tally: Tally, what: str, effort: str) -> None:
    if tally.unknown:
        counted = "1 character is" if tally.unknown == 1 else f"{tally.unknown:,} characters are"
        out.warn(f"{counted} unknown to the model: charged what it gives the unknown character")
    bits = bits_per_char(tally.nats, tally.characters)
    out.say(
        f"({tally.texts:,} {what}{'' if tally.texts == 1 else 's'}, {tally.characters:,} characters"
        f"{'' if bits is None else f', {bits:.4f} bits per character'}; {effort})",
        style="dim",
    )
