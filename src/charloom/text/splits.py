"""Which part of the ids is trained on and which is held out, always cut the same way.

A split is made of segments: stretches of text that are contiguous in the corpus. Each segment begins with
one character of context that is read but not predicted, so that every character after it is charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charloom.errors import CorpusError
from charloom.settings import SplitName, ValidationSplit
from charloom.text.vocabulary import Ids

ARTICLE_ROWS = 64
ARTICLE_WINDOW = 60


@dataclass(frozen=True)
class Segment:
    """A stretch of N characters with the one before it: ids, shape (N + 1,).

    Attributes:
        ids: the character before the stretch, then the stretch.
        start: where the stretch begins in the corpus, counted in ids from 0.
    """

    ids: Ids
    start: int = 0

    @property
    def predicted(self) -> int:
        """How many characters N are predicted in it."""
        return len(self.ids) - 1


def with_opening(ids: Ids, opening_id: int) -> Segment:
    """A text that has nothing before it, read as if a line had just ended."""
    return Segment(np.concatenate([np.array([opening_id], dtype=ids.dtype), ids]))


@dataclass(frozen=True)
class Split:
    """The two parts of a corpus, each a list of segments."""

    train: Sequence[Segment]
    validation: Sequence[Segment]

    def part(self, name: SplitName, whole: Segment) -> Sequence[Segment]:
        """The segments called `name`; `whole` is the answer to `all`."""
        return {"train": self.train, "validation": self.validation, "all": [whole]}[name]


def split_ids(whole: Segment, kind: ValidationSplit, fraction: float, at_most: int | None = None) -> Split:
    """Cut a corpus of N characters into a training and a validation part; both are views of it.

    `tail` holds out the last `fraction` of the text. `row-tail` is the article's: the text in 64 rows
    (whatever the batch), of each row's windows of 60 the last `fraction`; the characters that do not fill
    the rows or the windows, fewer than 64 × 61, are in neither part. No more than `at_most` characters are
    held out; `row-tail` holds out as many whole windows of every row as that allows, but at least one.
    """
    limit = whole.predicted if at_most is None else at_most
    if kind == "row-tail":
        return _row_tail(whole.ids[1:], fraction, limit)
    cut = max(int(whole.predicted * (1 - fraction)), whole.predicted - limit)
    if cut < 2 or cut == whole.predicted:
        raise CorpusError(f"the text has only {whole.predicted:,} characters: too few to hold some out for validation")
    return Split([Segment(whole.ids[: cut + 1])], [Segment(whole.ids[cut:], cut)])


def _row_tail(ids: Ids, fraction: float, limit: int) -> Split:
    row_length = len(ids) // ARTICLE_ROWS
    windows = (row_length - 1) // ARTICLE_WINDOW
    held_out = min(int(windows * fraction), max(1, limit // (ARTICLE_ROWS * ARTICLE_WINDOW)))
    if held_out < 1:
        needed = ARTICLE_ROWS * (int(np.ceil(1 / fraction)) * ARTICLE_WINDOW + 1)
        raise CorpusError(
            f"row-tail needs at least {needed:,} characters with this fraction, and the text has "
            f"{len(ids):,}: use --validation-split tail"
        )
    rows = ids[: row_length * ARTICLE_ROWS].reshape(ARTICLE_ROWS, row_length)
    cut = (windows - held_out) * ARTICLE_WINDOW
    end = windows * ARTICLE_WINDOW
    return Split(
        [Segment(row[: cut + 1], at * row_length + 1) for at, row in enumerate(rows)],
        [Segment(row[cut : end + 1], at * row_length + cut + 1) for at, row in enumerate(rows)],
    )
