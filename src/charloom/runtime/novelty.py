"""How much of what a model writes occurs word for word in the corpus, beside how much of real unseen text does.

Short copies occur in honest writing too (names, phrases), so the figures mean something only beside those of text by
the same authors that the model never saw: the validation split, in stretches of the same length.

Copies are found exactly, in time linear in both texts. The shorter text's suffix automaton (Blumer et al., 1985)
recognizes every substring of it. The longer text is read through it once and may come in any number of pieces, so
memory depends on the shorter text alone. What is found is, for each place of the short text, the longest stretch ending
there that the long text has too (the matching statistics of Chang and Lawler, 1994).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from charloom.errors import CorpusError, UsageError
from charloom.settings import MAX_SEED, Settings, SplitName
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment
from charloom.text.vocabulary import Ids, Vocabulary

BARRIER = -1
"""An id that matches nothing: it separates texts that are examined together."""

ROW_LENGTH = 500
SHOWN_COPIES = 5
COPY_LENGTHS = (20, 50, 100)
MAX_CHARACTERS = 1_000_000  # of the examined text: its automaton takes up to a kilobyte a character
_PIECE = 1 << 20
_SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Matches:
    """For each place of an examined text, shape (T,), the longest stretch ending with it that the corpus has.

    Attributes:
        lengths: how long it is; 0 where the corpus lacks even the one character.
        ends: where it ends in the corpus (the place of its last id); −1 where the length is 0.
    """

    lengths: NDArray[np.int64]
    ends: NDArray[np.int64]

    def parted(self, place: int) -> tuple[Matches, Matches]:
        """What is before a place where a barrier ends, and what is after it."""
        before, after = slice(None, place), slice(place, None)
        return Matches(self.lengths[before], self.ends[before]), Matches(self.lengths[after], self.ends[after])

    def covered(self, at_least: int) -> int:
        """How many places lie in a copy of `at_least` or more."""
        edges = np.zeros(len(self.lengths) + 1, dtype=np.int64)
        (ends,) = np.nonzero(self.lengths >= at_least)
        np.add.at(edges, ends - self.lengths[ends] + 1, 1)
        np.add.at(edges, ends + 1, -1)
        return int((np.cumsum(edges)[:-1] > 0).sum())

    def maximal(self) -> NDArray[np.int64]:
        """The ends of the copies that cannot be made longer, in order of place; none lies within another."""
        following = np.append(self.lengths[1:], 0)
        (ends,) = np.nonzero((self.lengths > 0) & (following != self.lengths + 1))
        return ends


class CopyFinder:
    """Looks for the parts of one text in another that is read piece by piece."""

    def __init__(self, examined: Iterable[int]) -> None:
        """Take in the text whose parts are looked for; `BARRIER` separates those that are examined together."""
        # State 0 is the empty text. A state's longest string has `_longest` characters; `_link` leads to the
        # longest of its suffixes that occurs in other places too.
        self._next: list[dict[int, int]] = [{}]
        self._link: list[int] = [-1]
        self._longest: list[int] = [0]
        self._prefixes: list[int] = []  # the state of every prefix
        last = 0
        for token in examined:
            last = self._append(last, token)
            self._prefixes.append(last)
        self._found = [0] * len(self._next)  # the longest string of each state that was met so far
        self._end = [-1] * len(self._next)  # and where it ended

    def _append(self, last: int, token: int) -> int:
        new = self._state({}, 0, self._longest[last] + 1)
        state = last
        while state >= 0 and token not in self._next[state]:
            self._next[state][token] = new
            state = self._link[state]
        if state >= 0:
            self._link[new] = self._state_for(state, token)
        return new

    def _state_for(self, state: int, token: int) -> int:
        """The state of the longest string of `state` and `token` after it, split off if it is not one already."""
        target = self._next[state][token]
        if self._longest[target] == self._longest[state] + 1:
            return target
        clone = self._state(dict(self._next[target]), self._link[target], self._longest[state] + 1)
        self._link[target] = clone
        while state >= 0 and self._next[state].get(token) == target:
            self._next[state][token] = clone
            state = self._link[state]
        return clone

    def _state(self, following: dict[int, int], link: int, longest: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._longest.append(longest)
        return len(self._next) - 1

    def read(self, pieces: Iterable[NDArray[np.integer]], start: int = 0) -> None:
        """Read a stretch of the other text: its ids in pieces, each of shape (T,), the first at place `start`.

        May be called for several stretches; a copy lies within one of them.
        """
        following, link, longest, found, end = self._next, self._link, self._longest, self._found, self._end
        state = length = 0
        place = start
        for piece in pieces:
            for token in piece.tolist():
                after = following[state].get(token)
                if after is None:
                    while after is None and state:
                        state = link[state]
                        after = following[state].get(token)
                    length = longest[state]
                if after is not None:
                    state = after
                    length += 1
                    if length > found[state]:
                        found[state] = length
                        end[state] = place
                place += 1

    def matches(self) -> Matches:
        """What was found in all that was read so far."""
        found, end = list(self._found), list(self._end)
        order = sorted(range(1, len(found)), key=self._longest.__getitem__)
        for state in reversed(order):  # where a string occurs, its suffixes do
            suffix = self._link[state]
            if found[state] and suffix and found[suffix] < self._longest[suffix]:
                found[suffix], end[suffix] = self._longest[suffix], end[state]
        for state in order:  # where no string of a state occurs, a shorter suffix may
            if not found[state]:
                found[state], end[state] = found[self._link[state]], end[self._link[state]]
        states = np.array(self._prefixes, dtype=np.intp)
        return Matches(np.array(found, dtype=np.int64)[states], np.array(end, dtype=np.int64)[states])


class NoveltySettings(Settings):
    """How much is written, and how; what is None comes from the model's `generation_config.json`."""

    characters: int = Field(
        10_000, ge=1, le=MAX_CHARACTERS, description="Characters to write, in texts of about 500 from nothing."
    )
    temperature: float | None = Field(None, ge=0, le=1000, description="Instead of the model's own temperature.")
    top_k: int | None = Field(None, ge=0, le=2**31, description="Instead of the model's own top-k.")
    top_p: float | None = Field(None, gt=0, le=1, description="Instead of the model's own top-p.")
    min_p: float | None = Field(None, ge=0, le=1, description="Instead of the model's own min-p.")
    seed: int = Field(1, ge=0, le=MAX_SEED, description="The same seed writes the same texts.")

    @property
    def rows(self) -> int:
        """How many texts are written."""
        return max(1, self.characters // ROW_LENGTH)

    @property
    def sampling(self) -> dict[str, Any]:
        """The options of one text; no stop text ends it early."""
        given = self.model_dump(exclude={"characters"}, exclude_none=True)
        return {**given, "length": -(-self.characters // self.rows), "stop": []}


class NoveltyOptions(TypedDict, total=False):
    """Fields of `NoveltySettings`, as keyword arguments."""

    characters: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int


@dataclass(frozen=True)
class Copy:
    """A stretch that occurs in the corpus.

    Attributes:
        length: its characters (bytes with a bytes vocabulary).
        offset: where it begins in the corpus, from 0.
        line: the line of the corpus that it begins in, from 1.
        text: its beginning, at most 400 characters.
    """

    length: int
    offset: int
    line: int
    text: str


@dataclass(frozen=True)
class CopiedShare:
    """How much of a text is copied from another. Lengths are characters (bytes with a bytes vocabulary).

    Attributes:
        characters: how many were examined.
        longest: the length of the longest copy.
        copied_fraction: the share of the characters that are in copies of at least 20, 50 and 100.
    """

    characters: int
    longest: int
    copied_fraction: dict[int, float]


@dataclass(frozen=True)
class ListedItems:
    """How many of the items that were examined are on the list that was searched.

    Attributes:
        written: how many there are.
        different: how many of them differ.
        listed: how many are on the list.
    """

    written: int
    different: int
    listed: int


@dataclass(frozen=True)
class Novelty(CopiedShare):
    """How much of a text is copied from a corpus, with what that is to be compared with.

    Attributes:
        corpus_characters: how much of the corpus was read.
        copies: the longest different copies, the longest first, at most five.
        unseen: the same figures for real text that the model was not trained on; None where there is none.
        split: the part of the corpus that was searched.
        seed: wrote the text; None for a text that was given.
        items: of a model that learned a list, how many of its items are on the list; else None.
    """

    corpus_characters: int
    copies: tuple[Copy, ...]
    unseen: CopiedShare | None
    split: SplitName
    seed: int | None
    items: ListedItems | None = None


@dataclass(frozen=True)
class Searched:
    """Where copies are looked for.

    Attributes:
        segments: the part of the corpus that is read.
        unseen: text of the same kind that the model was not trained on.
        split: the name of the part.
        whole: the corpus, to say in which lines the copies are; without it none are shown.
        reordered: the one segment has items of the corpus in another order.
    """

    segments: Sequence[Segment]
    unseen: Sequence[Segment] = ()
    split: SplitName = "train"
    whole: Segment | None = None
    reordered: bool = False

    @property
    def characters(self) -> int:
        """How much is searched."""
        return sum(segment.predicted for segment in self.segments)

    def corpus_offset(self, found: int, length: int) -> int:
        """Where in the corpus a stretch begins that was found at a place of the segments.

        -1 where its items follow each other only in the other order.
        """
        if not self.reordered or self.whole is None:
            return found
        return _as_text(self.whole).find(_as_text(self.segments[0])[found : found + length])


def novelty(vocabulary: Vocabulary, texts: Sequence[str], searched: Searched, seed: int | None = None) -> Novelty:
    """Compare texts with a corpus, character by character. No copy reaches over the end of a text."""
    rows = [vocabulary.encode(text) for text in texts if text]
    characters = sum(len(row) for row in rows)
    if not characters:
        raise CorpusError("there is no text to examine")
    if characters > MAX_CHARACTERS:
        raise UsageError(f"{characters:,} characters to examine: give at most {MAX_CHARACTERS:,}")
    stretches = _unseen_rows(searched.unseen, max(len(row) for row in rows), characters)
    finder = CopyFinder(_with_barriers([*rows, *stretches], vocabulary.unknown_id))
    for segment in searched.segments:
        finder.read(_pieces(segment), segment.start)
    written, unseen = finder.matches().parted(characters + len(rows))
    return Novelty(
        **vars(_share(written, rows)),
        corpus_characters=searched.characters,
        copies=() if searched.whole is None else tuple(_longest_copies(vocabulary, written, searched, searched.whole)),
        unseen=_share(unseen, stretches) if stretches else None,
        split=searched.split,
        seed=seed,
    )


def count_listed(vocabulary: Vocabulary, items: Sequence[str], searched: Searched) -> ListedItems:
    """Look for whole items among the lines of the corpus."""
    listed = {line for part in searched.segments for line in vocabulary.decode(load_ids(part.ids[1:])).split("\n")}
    return ListedItems(len(items), len(set(items)), sum(item in listed for item in items))


def _with_barriers(rows: Sequence[Ids], unknown_id: int | None) -> Iterator[int]:
    for row in rows:
        for token in row.tolist():
            yield BARRIER if token == unknown_id else token  # two unknown characters need not be the same one
        yield BARRIER


def _pieces(segment: Segment) -> Iterator[Ids]:
    for start in range(1, len(segment.ids), _PIECE):
        yield load_ids(segment.ids[start : start + _PIECE])


def _share(matches: Matches, rows: Sequence[Ids]) -> CopiedShare:
    characters = sum(len(row) for row in rows)
    return CopiedShare(
        characters=characters,
        longest=int(matches.lengths.max()),
        copied_fraction={length: matches.covered(length) / characters for length in COPY_LENGTHS},
    )


def _unseen_rows(segments: Sequence[Segment], length: int, characters: int) -> list[Ids]:
    """Stretches of unseen text, as long as the rows that were written and as many, evenly spread."""
    stretches = [
        segment.ids[start : start + length]
        for segment in segments
        for start in range(1, len(segment.ids), length)
        if start + length <= len(segment.ids) or len(segment.ids) <= length
    ]
    wanted = max(1, round(characters / length))
    if len(stretches) > wanted:
        stretches = [stretches[index * len(stretches) // wanted] for index in range(wanted)]
    rows = [load_ids(stretch) for stretch in stretches]
    return [row for row in rows if len(row)]


def _as_text(segment: Segment) -> str:
    """Its ids as code points, to be searched fast."""
    return load_ids(segment.ids[1:]).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _longest_copies(vocabulary: Vocabulary, matches: Matches, searched: Searched, whole: Segment) -> Iterator[Copy]:
    ends = matches.maximal()
    seen: list[str] = []
    for end in ends[np.argsort(-matches.lengths[ends], kind="stable")].tolist():
        length = int(matches.lengths[end])
        offset = searched.corpus_offset(int(matches.ends[end]) - length + 1, length)
        if offset < 0:
            continue
        text = vocabulary.decode(load_ids(whole.ids[1 + offset : 1 + offset + min(length, _SHOWN_CHARACTERS)]))
        if any(text in other for other in seen):
            continue
        seen.append(text)
        yield Copy(length, offset, _line(vocabulary, whole, offset), text)
        if len(seen) == SHOWN_COPIES:
            return


def _line(vocabulary: Vocabulary, whole: Segment, offset: int) -> int:
    newline = int(vocabulary.encode("\n")[0])
    if newline == vocabulary.unknown_id:
        return 1
    before = Segment(whole.ids[: offset + 1])
    return 1 + sum(int((piece == newline).sum()) for piece in _pieces(before))
