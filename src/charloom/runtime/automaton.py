"""A pattern's tree as a nondeterministic automaton (Thompson's construction), with the way to a match's end.

A place is a number. Place 0 is the end of a match. Every other place takes one character of its set and goes to
another, or takes nothing and goes to any of several. Counts are written out, so a limit on places bounds them.

    K. Thompson, Regular expression search algorithm, Communications of the ACM 11 (1968)
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.character_sets import CharacterSet, character_set
from charloom.runtime.expression import Atom, Choice, Node, Repeat, Sequence, refused, takes_nothing
from charloom.settings import shortened
from charloom.text.vocabulary import Vocabulary

MAX_PLACES: Final = 20_000
FAR: Final = 1 << 28  # more ids than any length: the end cannot be reached; twice this is still an int32
_MISSING: Final = 1 << 32  # what a character costs that the model does not know, when the way without is looked for


class Automaton:
    """The places of a pattern.

    Attributes:
        sets: the different sets of characters.
        set_of: for each place, the index of the set it takes a character of; -1 if it takes none.
        after: for each place that takes a character, the place it goes to.
        distance: for each place, the fewest ids from there to the end; FAR where there is no way.
        start: the place before the first character.
    """

    def __init__(self, tree: Node, vocabulary: Vocabulary, pattern: str) -> None:
        """Build it.

        Raises:
            UsageError: it would be too large, or nothing can be written that it matches.
        """
        self._vocabulary = vocabulary
        self._pattern = pattern
        self._atoms: dict[Atom, int] = {}
        self.sets: list[CharacterSet] = []
        self._set_of = [-1]
        self._next: list[tuple[int, ...]] = [()]
        self.start = self._build(tree, 0)
        self.set_of: NDArray[np.int64] = np.array(self._set_of, dtype=np.int64)
        self.after: NDArray[np.int64] = np.array([ways[0] if ways else 0 for ways in self._next], dtype=np.int64)
        widths = [found.shortest or FAR for found in self.sets]
        self.distance: NDArray[np.int32] = np.minimum(self._distances(widths), FAR).astype(np.int32)
        if self.distance[self.start] >= FAR:
            raise refused(pattern, self._what_is_missing())

    def closure(self, places: list[int]) -> tuple[NDArray[np.int64], int]:
        """All places that are reached from `places` without a character, and from which the end can be reached.

        And how many places were visited to find them.
        """
        seen = set(places)
        waiting = list(seen)
        while waiting:
            place = waiting.pop()
            if self._set_of[place] < 0:
                new = [way for way in self._next[place] if way not in seen]
                seen.update(new)
                waiting.extend(new)
        reached = np.fromiter(seen, dtype=np.int64, count=len(seen))
        useful: NDArray[np.bool_] = ((self.set_of[reached] >= 0) | (reached == 0)) & (self.distance[reached] < FAR)
        return reached[useful], len(seen)

    def _build(self, node: Node, then: int) -> int:
        """The place from which `node` is matched before going on to `then`."""
        if isinstance(node, Atom):
            return self._place(self._set_index(node), (then,))
        if isinstance(node, Sequence):
            for item in reversed(node.items):
                then = self._build(item, then)
            return then
        if isinstance(node, Choice):
            return self._place(-1, tuple(self._build(branch, then) for branch in node.branches))
        assert isinstance(node, Repeat)  # `simplified` left no anchors
        if takes_nothing(node.item):
            return then
        return self._build_repeat(node, then)

    def _build_repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self._place(-1, ())
            self._next[loop] = (then, self._build(node.item, loop))
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self._place(-1, (self._build(node.item, then), end))
        for _ in range(node.least):
            then = self._build(node.item, then)
        return then

    def _place(self, set_index: int, ways: tuple[int, ...]) -> int:
        if len(self._next) >= MAX_PLACES:
            raise refused(
                self._pattern, f"with its counts written out it has more than {MAX_PLACES:,} places: use smaller counts"
            )
        self._set_of.append(set_index)
        self._next.append(ways)
        return len(self._next) - 1

    def _set_index(self, atom: Atom) -> int:
        if atom not in self._atoms:
            self._atoms[atom] = len(self.sets)
            self.sets.append(character_set(atom, self._vocabulary, self._pattern))
        return self._atoms[atom]

    def _distances(self, widths: list[int]) -> NDArray[np.int64]:
        """The cheapest way from each place to the end (Dijkstra), a character of set i costing `widths[i]`."""
        before: list[list[int]] = [[] for _ in self._next]
        for place, ways in enumerate(self._next):
            for way in ways:
                before[way].append(place)
        distance = np.full(len(self._next), np.iinfo(np.int64).max, dtype=np.int64)
        distance[0] = 0
        waiting = [(0, 0)]
        while waiting:
            length, place = heappop(waiting)
            if length > distance[place]:
                continue
            for earlier in before[place]:
                index = self._set_of[earlier]
                longer = length + (widths[index] if index >= 0 else 0)
                if longer < distance[earlier]:
                    distance[earlier] = longer
                    heappush(waiting, (longer, earlier))
        return distance

    def _what_is_missing(self) -> str:
        """Which characters the model would have to know: those of the match that needs the fewest of them."""
        widths = [found.shortest or _MISSING for found in self.sets]
        distance = self._distances(widths)
        atoms = list(self._atoms)
        missing: dict[str, None] = {}
        place = self.start
        while place:  # of ways that cost the same the first is taken: out of a loop, not round it
            index = self._set_of[place]
            if index >= 0 and not self.sets[index].shortest:
                code = atoms[index].code
                source = shortened(atoms[index].source)[1:-1]
                missing[f"any character that {source} matches" if code is None else repr(chr(code))] = None
            place = min(self._next[place], key=lambda way: int(distance[way]))
        return f"no text can match it: the model does not know {', '.join([*missing][:10])}"
