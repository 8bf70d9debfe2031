"""The likeliest continuations of a prompt with their probabilities: an exact search, best first.

A prefix is never likelier than what it begins, so the search reads the likeliest open prefix next, several at a time,
and is over when none is likelier than the worst of the completions that are wanted. Probabilities are of the model's
own distribution: no temperature, no filter, the unknown character counted in but never named.

Legend: B prefixes, V vocabulary, H hidden units. A cost is −ln of a probability.
"""

from __future__ import annotations

import heapq
import math
import unicodedata
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.logprobs import LogProbabilities, log_probabilities
from charloom.runtime.prompts import read_prompt
from charloom.runtime.session import Logits, Session, State, no_number
from charloom.text.vocabulary import Ids, Vocabulary

Until = Literal["word", "line"]

MOST_COMPLETIONS = 1000
_AT_ONCE = 32  # prefixes read together, at most
_MOST_READ = 4096  # prefixes after which the search is given up
_BEAM = 16  # prefixes that are followed to an end then

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Completion:
    """What may follow a prompt, up to the end of a word or line.

    Attributes:
        text: what follows; without what ends it.
        probability: that exactly this follows and then ends.
        exact: no likelier one has been overlooked. Where there are too many ways to search, the probability is right
            all the same, but the place in the list may not be.
    """

    text: str
    probability: float
    exact: bool = True

    def __str__(self) -> str:
        return self.text


class Masks(NamedTuple):
    """What the next id does to a prefix, each (V,): it ends what was there, is its end, or extends it."""

    ends: Mask
    closes: Mask
    extends: Mask


class Ending(Protocol):
    """Where a completion ends."""

    def masks(self, ids: Sequence[int]) -> Masks:
        """What each id does after a prefix of these ids."""


class WordEnd:
    """Behind the first word, which may have spaces and signs before it. Beyond ASCII, all bytes belong to words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        nothing = np.zeros(vocabulary.size, dtype=bool)
        in_words = np.array([_is_in_word(vocabulary.text_of(token)) for token in range(vocabulary.size)])
        self._in_words = in_words
        self._before = Masks(nothing, nothing, ~nothing)
        self._within = Masks(~in_words, nothing, in_words)

    def masks(self, ids: Sequence[int]) -> Masks:
        return self._within if ids and self._in_words[ids[-1]] else self._before


class LineEnd:
    """Before a newline."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        nothing = np.zeros(vocabulary.size, dtype=bool)
        ends = np.array([vocabulary.text_of(token) == "\n" for token in range(vocabulary.size)])
        self._masks = Masks(ends, nothing, ~ends)

    def masks(self, ids: Sequence[int]) -> Masks:
        return self._masks


class CharacterEnd:
    """Behind one character, which with a bytes vocabulary may take several ids."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        nothing = np.zeros(vocabulary.size, dtype=bool)
        bytes_ = np.arange(vocabulary.size)
        self._is_bytes = vocabulary.kind == "bytes"
        whole = bytes_ < 0x80 if self._is_bytes else ~nothing
        self._first = Masks(nothing, whole, ~whole & (bytes_ >= 0xC2) & (bytes_ <= 0xF4))
        inner = self._is_bytes & (bytes_ >= 0x80) & (bytes_ < 0xC0)
        self._inner, self._last = Masks(nothing, nothing, inner), Masks(nothing, inner, nothing)

    def masks(self, ids: Sequence[int]) -> Masks:
        if not ids:
            return self._first
        width = 2 if ids[0] < 0xE0 else 3 if ids[0] < 0xF0 else 4
        return self._last if len(ids) == width - 1 else self._inner


def _is_in_word(character: str) -> bool:
    """Whether it belongs to words: letters, digits and marks of all scripts, apostrophes; bytes that are no text."""
    return not character or character in "'’_" or character.isalnum() or unicodedata.category(character)[0] == "M"


def next_characters(session: Session, vocabulary: Vocabulary, prompt: Ids, count: int) -> list[tuple[str, float]]:
    """The likeliest characters after a prompt, ids (T,), with their probabilities."""
    found = _Search(session, vocabulary, CharacterEnd(vocabulary), count, length=4).run(prompt)
    return [(one.text, one.probability) for one in found]


def complete(
    session: Session, vocabulary: Vocabulary, prompt: Ids, count: int, *, until: Until, length: int
) -> list[Completion]:
    """The likeliest completions of a prompt, ids (T,), that have at most `length` ids; the likeliest first."""
    ending = WordEnd(vocabulary) if until == "word" else LineEnd(vocabulary)
    return _Search(session, vocabulary, ending, count, length).run(prompt)


class _Prefix:
    """A prefix that was read: its state (1, H), and the ids that can follow it, the likeliest first."""

    def __init__(
        self, ids: tuple[int, ...], state: State, following: NDArray[np.intp], costs: LogProbabilities
    ) -> None:
        self.ids = ids
        self.state = state
        self._following = following
        self._costs = costs
        self._place = 0

    def cost(self) -> float:
        """Of the likeliest that was not taken; infinite where all are."""
        return float(self._costs[self._place]) if self._place < len(self._costs) else math.inf

    def take(self) -> int:
        """The id of the likeliest that was not taken."""
        self._place += 1
        return int(self._following[self._place - 1])


class _Child(NamedTuple):
    """A prefix that is not read: its ids, its cost, and the state (1, H) before its last id."""

    ids: tuple[int, ...]
    cost: float
    state: State


class _Search:
    """One search."""

    def __init__(self, session: Session, vocabulary: Vocabulary, ending: Ending, count: int, length: int) -> None:
        self._session = session
        self._vocabulary = vocabulary
        self._ending = ending
        self._count = count
        self._length = length
        self._read = 0
        self._open: list[tuple[float, int, _Prefix]] = []  # a heap by the cost of what follows
        self._found: list[tuple[float, tuple[int, ...]]] = []  # the best completions, in order

    def run(self, prompt: Ids) -> list[Completion]:
        logits, state = read_prompt(self._session, prompt)
        self._take_in([_Child((), 0.0, ())], logits, state)
        at_once = 1
        while (children := self._next(at_once)) and self._read < _MOST_READ:
            self._extend(children)
            at_once = min(2 * at_once, _AT_ONCE)
        proven = min((child.cost for child in children), default=math.inf)
        while children:  # given up: follow a few of the likeliest prefixes to an end
            self._open = []
            self._extend(children[:_BEAM])
            children = self._next(_BEAM)
        return [self._completion(cost, ids, cost <= proven) for cost, ids in self._found]

    def _completion(self, cost: float, ids: tuple[int, ...], exact: bool) -> Completion:
        return Completion(self._vocabulary.decode(np.array(ids, dtype=np.int64)), math.exp(-cost), exact)

    @property
    def _bound(self) -> float:
        """What a prefix must cost less than, to be of use."""
        return math.inf if len(self._found) < self._count else self._found[-1][0]

    def _next(self, most: int) -> list[_Child]:
        """The likeliest prefixes that are not read, taken out; none where none can be of use."""
        children: list[_Child] = []
        while self._open and len(children) < most and self._open[0][0] < self._bound:
            cost, number, prefix = self._open[0]
            children.append(_Child((*prefix.ids, prefix.take()), cost, prefix.state))
            if math.isinf(prefix.cost()):
                heapq.heappop(self._open)
            else:
                heapq.heapreplace(self._open, (prefix.cost(), number, prefix))
        return children

    def _extend(self, children: Sequence[_Child]) -> None:
        state = tuple(np.concatenate(parts) for parts in zip(*(child.state for child in children), strict=True))
        last = np.array([[child.ids[-1] for child in children]], dtype=np.int64)
        logits, state = self._session.read(last, state)
        self._take_in(children, logits, state)

    def _take_in(self, children: Sequence[_Child], logits: Logits, state: State) -> None:
        """Record the completions of prefixes and the ids that can follow them, from logits (B, V) and state (B, H)."""
        distributions = log_probabilities(logits)
        if not np.isfinite(distributions).all():
            raise no_number()
        for row, child in enumerate(children):
            self._read += 1
            costs = child.cost - distributions[row]
            masks = self._ending.masks(child.ids)
            if masks.ends.any():
                self._find(child.cost - np.logaddexp.reduce(distributions[row][masks.ends]), child.ids)
            for token in self._ranked(masks.closes, costs)[: self._count].tolist():
                self._find(float(costs[token]), (*child.ids, token))
            if len(child.ids) < self._length:
                following = self._ranked(masks.extends, costs)
                if len(following):
                    own = tuple(part[row : row + 1].copy() for part in state)
                    prefix = _Prefix(child.ids, own, following, costs[following])
                    heapq.heappush(self._open, (prefix.cost(), self._read, prefix))

    def _ranked(self, mask: Mask, costs: LogProbabilities) -> NDArray[np.intp]:
        """The ids of a mask that can be of use, the likeliest first, of equals the lowest; never the unknown one."""
        useful = mask & (costs < self._bound)
        if self._vocabulary.unknown_id is not None:
            useful[self._vocabulary.unknown_id] = False
        ids = np.flatnonzero(useful)
        return ids[np.argsort(costs[ids], kind="stable")]

    def _find(self, cost: float, ids: tuple[int, ...]) -> None:
        if cost < self._bound and self._is_text(ids):
            insort(self._found, (float(cost), ids))
            del self._found[self._count :]

    def _is_text(self, ids: tuple[int, ...]) -> bool:
        """Whether ids are whole characters; bytes may be none, or a part of one."""
        if self._vocabulary.kind != "bytes":
            return True
        try:
            bytes(ids).decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True
