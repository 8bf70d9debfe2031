"""Which parts of one text stand word for word in another: exact, in time linear in both.

The shorter text's suffix automaton (Blumer et al., 1985) recognizes every substring of it. The longer text is
read through it once and may come in any number of pieces, so memory depends on the shorter text alone: a corpus
larger than memory is no matter. What is found is, for each place of the short text, the longest stretch ending
there that the long text has too (the matching statistics of Chang and Lawler, 1994).

Texts are sequences of ids ≥ 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BARRIER = -1
"""An id that matches nothing: it separates texts that are examined together."""


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
        """Take in the text whose parts are looked for; `BARRIER` stands between those that are examined together."""
        # State 0 is the empty text. A state's longest string has `_longest` characters; `_link` leads to the
        # longest of its suffixes that stands in other places too.
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
        for state in reversed(order):  # where a string stands its suffixes stand
            suffix = self._link[state]
            if found[state] and suffix and found[suffix] < self._longest[suffix]:
                found[suffix], end[suffix] = self._longest[suffix], end[state]
        for state in order:  # where no string of a state stands, a shorter suffix may
            if not found[state]:
                found[state], end[state] = found[self._link[state]], end[self._link[state]]
        states = np.array(self._prefixes, dtype=np.intp)
        return Matches(np.array(found, dtype=np.int64)[states], np.array(end, dtype=np.int64)[states])
