"""The table of docs/explanation/jobs.md, from the tables of the pages that have the figures.

python benchmarks/jobs.py [--write]

Each row names the page, the row and the column of its two figures, so that this page cannot say something else than
those. A test compares the table with the page; --write puts it there.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "explanation" / "jobs.md"
_HEADING = "| Job | Data | Figure | charloom | Beside it | Made by |"
_NUMBER = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Cell:
    """A figure in a page's table.

    Attributes:
        page: the page, from the folder of all.
        row: how the row begins.
        column: the column's name, from its beginning.
        place: which number of the cell it is, from 0.
    """

    page: str
    row: str
    column: str
    place: int = 0

    def read(self) -> str:
        """The figure as the page has it."""
        columns: list[str] = []
        for line in (DOCS / self.page).read_text("utf-8").split("\n"):
            if not line.startswith("|"):
                columns = []
                continue
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            columns = columns or cells
            if cells[0].startswith(self.row) and (column := self._column(columns)) is not None:
                return str(_NUMBER.findall(cells[column])[self.place])
        raise ValueError(f"{self.page} has no row {self.row!r} with a column {self.column!r}")

    def _column(self, columns: list[str]) -> int | None:
        return next((place for place, name in enumerate(columns) if name.startswith(self.column)), None)


@dataclass(frozen=True)
class Phrase:
    """A figure in a page's text: the first number after some words."""

    page: str
    words: str

    def read(self) -> str:
        """The figure as the page has it."""
        text = " ".join((DOCS / self.page).read_text("utf-8").split())
        found = _NUMBER.search(text, text.index(self.words) + len(self.words))
        assert found is not None
        return found[0]


@dataclass(frozen=True)
class Job:
    """A row.

    Attributes:
        job: what is done.
        data: on what.
        figure: what is measured.
        ours: charloom's.
        other: that of the other program.
        beside: which that is.
        script: what makes the figures, and the place of the page that says so.
    """

    job: str
    data: str
    figure: str
    ours: Cell | Phrase
    other: Cell | Phrase
    beside: str
    script: str

    def row(self) -> str:
        """The row in Markdown, the better figure bold: of losses the lower one, of others the higher one."""
        ours, other = self.ours.read(), self.other.read()
        ahead = (float(other) - float(ours)) * (1 if self.figure.startswith("nats") else -1)
        left, right = f"**{ours}**" if ahead > 0 else ours, f"**{other}**" if ahead < 0 else other
        cells = (self.job, self.data, self.figure, left, f"{right}, {self.beside}", self.script)
        return f"| {' | '.join(cells)} |"


_TRAINING, _ODD, _KINDS = "explanation/training.md", "how-to/find-odd-lines.md", "how-to/classify-texts.md"
_GOING_ON = "how-to/resume-and-fine-tune.md"
_BY_TRAINING = "(training.md#what-it-comes-to)"
_BY_ODD = "[odd_lines.py](../how-to/find-odd-lines.md#how-well-it-finds-them)"
_BY_TRIES = "[odd_lines.py](../how-to/find-odd-lines.md#no-good-day)"
_BY_KINDS = "[classify.py](../how-to/classify-texts.md#measured)"


def _odd(job: str, data: str, row: str, column: str, beside: str, ours: str = "worst") -> Job:
    return Job(job, data, "AUROC", Cell(_ODD, row, ours), Cell(_ODD, row, column), beside, _BY_ODD)


def _kinds(job: str, data: str, row: str, column: str) -> Job:
    ours, other = Cell(_KINDS, row, column), Cell(_KINDS, row, column, place=1)
    return Job(job, data, column.split(" (", maxsplit=1)[0], ours, other, "a 3-gram a class", _BY_KINDS)


JOBS = (
    Job(
        "invent names",
        "makemore's 32,033, 1,000 held out",
        "nats a character",
        Phrase(_TRAINING, "dropout 0.5, and reached"),
        Phrase(_TRAINING, "same time and kind of split:"),
        "makemore's transformer, same time",
        f"[`charloom train`]{_BY_TRAINING}",
    ),
    _odd(
        "find odd lines, a good day learned",
        "BGL, a supercomputer's log",
        "BGL, a known-good half learned",
        "Drain3",
        "Drain3",
    ),
    Job(
        "the same, words with a digit masked",
        "BGL, the lowest of three seeds",
        "AUROC",
        Cell(_ODD, "`--clean mask-numbers`", "BGL, known-good half, worst"),
        Cell(_ODD, "BGL, a known-good half learned", "Drain3"),
        "Drain3",
        _BY_TRIES,
    ),
    _odd(
        "find lines that were cut short",
        "BGL, a third of the lines cut",
        "BGL, a third of the lines cut short",
        "Drain3",
        "Drain3",
    ),
    _odd("find odd lines in the log that was learned", "BGL", "BGL, the log itself learned", "Drain3", "Drain3"),
    Job(
        "the same, each fifth by a model of the others",
        "BGL, the lowest of three seeds",
        "AUROC",
        Cell(_ODD, "`charloom cross-score`", "BGL itself, worst"),
        Cell(_ODD, "BGL, the log itself learned", "Drain3"),
        "Drain3",
        _BY_TRIES,
    ),
    _odd("find attacks", "parameters of HTTP requests", "HTTP parameters, attacks", "5-gram, worst", "a 5-gram"),
    _odd(
        "find spam, good messages learned", "text messages", "text messages, spam", "5-gram, mean", "a 5-gram", "mean"
    ),
    _kinds(
        "tell the language of a name",
        "six languages, 1,549 held out",
        "the six languages, split by the command itself",
        "accuracy (3-gram)",
    ),
    _kinds(
        "tell generated domains from real ones",
        "families of malware, of words too, and OpenDNS",
        "the domains, split by the command itself",
        "AUROC (3-gram)",
    ),
    _kinds(
        "the same, of families that generate no words",
        "six families and OpenDNS, 3,177 held out",
        "domains of six families",
        "AUROC (3-gram)",
    ),
    Job(
        "learn a small text from a model of a large one",
        "TRPM8 inhibitors after HIV molecules",
        "nats a character",
        Cell(_GOING_ON, "molecules (HIV set) → TRPM8 inhibitors", "`--init-from`"),
        Cell(_GOING_ON, "molecules (HIV set) → TRPM8 inhibitors", "From nothing"),
        "from nothing",
        "[going_on.py](../how-to/resume-and-fine-tune.md#what-it-comes-to)",
    ),
    Job(
        "write verse in Chinese",
        "72,513 lines of old poems, 5,388 symbols",
        "nats a character",
        Cell("explanation/jobs.md", "Chinese poems", "charloom"),
        Cell("explanation/jobs.md", "Chinese poems", "2-gram"),
        "a 2-gram, the best of four",
        "[ngrams.py](jobs.md#beside-n-grams-of-characters)",
    ),
    Job(
        "prose, ten minutes of two cores",
        "tiny Shakespeare, the last tenth",
        "nats a character",
        Cell(_TRAINING, "`charloom train tinyshakespeare.txt -o runs/b --budget 10m`", "`windows-256`"),
        Phrase(_TRAINING, "its CPU setting has"),
        "nanoGPT's setting for a CPU, by its own protocol",
        f"[learning.py]{_BY_TRAINING}",
    ),
)


def table() -> str:
    """The whole table in Markdown."""
    return "\n".join([_HEADING, "|---|---|---|---|---|---|", *(job.row() for job in JOBS)])


def on_page(page: str) -> str:
    """The table as a page has it."""
    start = page.index(_HEADING)
    return page[start : page.index("\n\n", start)]


def main() -> None:
    """Print the table, or write it."""
    if sys.argv[1:] == ["--write"]:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(page.replace(on_page(page), table()), "utf-8")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        print(table())


if __name__ == "__main__":
    main()
