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
BLOCKS = 64
"""Blocks that are held out at most."""
SHORTEST_BLOCK = 2_000
"""Characters of a block, where more than one is held out."""
_BLOCK_SEED = 20_001


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

    `tail` holds out the last `fraction` of the text. `blocks` holds out as much in up to 64 blocks of equal length and
    of at least 2,000 characters: the text in as many equal stretches, of each a block at a random place, always the
    same for a text of this length; what is between the blocks is trained on. `row-tail` is the article's: the text in
    64 rows (whatever the batch), of each row's windows of 60 the last `fraction`; the characters that do not fill
    the rows or the windows, fewer than 64 × 61, are in neither part. No more than `at_most` characters are
    held out; `row-tail` holds out as many whole windows of every row as that allows, but at least one.
    """
    limit = whole.predicted if at_most is None else at_most
    if kind == "row-tail":
        return _row_tail(whole.ids[1:], fraction, limit)
    cut = max(int(whole.predicted * (1 - fraction)), whole.predicted - limit)
    if cut < 2 or cut == whole.predicted:
        raise CorpusError(f"the text has only {whole.predicted:,} characters: too few to hold some out for validation")
    if kind == "blocks":
        return _blocks(whole, whole.predicted - cut)
    return Split([Segment(whole.ids[: cut + 1])], [Segment(whole.ids[cut:], cut)])


def beginning(segments: Sequence[Segment], at_most: int) -> list[Segment]:
    """The first `at_most` characters of segments."""
    found: list[Segment] = []
    left = at_most
    for segment in segments:
        if left > 0:
            found.append(Segment(segment.ids[: left + 1], segment.start))
            left -= found[-1].predicted
    return found


def _blocks(whole: Segment, held_out: int) -> Split:
    number = max(1, min(BLOCKS, held_out // SHORTEST_BLOCK))
    length = held_out // number
    stretches = np.linspace(0, whole.predicted, number + 1).astype(int)
    places = np.random.default_rng(_BLOCK_SEED).random(number)
    starts = stretches[:-1] + (places * (np.diff(stretches) - length + 1)).astype(int)
    between = zip([0, *(starts + length)], [*starts, whole.predicted], strict=True)
    return Split(
        [Segment(whole.ids[start : end + 1], int(start)) for start, end in between if start < end],
        [Segment(whole.ids[start : start + length + 1], int(start)) for start in starts],
    )


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


def thin_out(segments: Sequence[Segment], at_most: int) -> list[Segment]:
    """About so many characters: some of many segments, evenly taken, or the beginning of a long one."""
    total = sum(segment.predicted for segment in segments)
    every = max(1, min(len(segments), round(total / at_most)))
    return [Segment(segment.ids[: at_most + 1], segment.start) for segment in segments[::every]]
