"""A pattern's tree as a nondeterministic automaton (Thompson's construction) over a vocabulary's ids.

A place is a number. Place 0 is the end of a match. Every other place takes one character of its set and goes to
another, or takes nothing and goes to any of several. Counts are written out, so a limit on places bounds them.

With a characters vocabulary a character is one id. With a bytes vocabulary it is one to four, and a set also says which
bytes may follow the beginning of a character. Python's `re` is asked which characters belong to a set, every one of
them, so that negated classes and `(?i)` mean exactly what they mean to `re`.

    K. Thompson, Regular expression search algorithm, Communications of the ACM 11 (1968)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.patterns.expression import (
    Atom,
    Choice,
    Node,
    Repeat,
    Sequence,
    compile_part,
    refusal,
    takes_nothing,
)
from charloom.text.vocabulary import CharacterVocabulary, Vocabulary
from charloom.wrong_values import shorten

Integers = NDArray[np.integer[Any]]

_SURROGATES: Final = (0xD800, 0xE000)  # UTF-8 has no bytes for these code points
_END: Final = 0x110000
_LOWEST: Final = (0, 0, 0x80, 0x800, 0x10000)  # the lowest code point of a character of so many bytes
_EMPTY: Final = np.zeros(0, dtype=np.int64)

MAX_PLACES: Final = 20_000
FAR: Final = 1 << 28  # more ids than any length: the end cannot be reached; twice this is still an int32
_MISSING: Final = 1 << 32  # what a character costs that the model does not know, when the way without is looked for


class CharacterSet(ABC):
    """The characters that one place of a pattern allows.

    Attributes:
        shortest: ids of its shortest character; 0 if it has none.
    """

    shortest: int

    @abstractmethod
    def continuations(self, prefix: bytes) -> tuple[Integers, Integers]:
        """The ids that may follow the beginning `prefix` of a character, and how many more then end it."""

    @abstractmethod
    def holds(self, prefix: bytes, token: int) -> bool:
        """Whether one of its characters begins with `prefix` and then `token`."""


class IdSet(CharacterSet):
    """Characters that are one id each."""

    def __init__(self, ids: Integers) -> None:
        """Hold `ids`, sorted."""
        self._ids = ids
        self._more = np.zeros(len(ids), dtype=np.int64)
        self.shortest = int(len(ids) > 0)

    def continuations(self, prefix: bytes) -> tuple[Integers, Integers]:
        return self._ids, self._more

    def holds(self, prefix: bytes, token: int) -> bool:
        place = int(np.searchsorted(self._ids, token))
        return place < len(self._ids) and int(self._ids[place]) == token


class ByteSet(CharacterSet):
    """Characters as their bytes in UTF-8, held as ranges of code points."""

    def __init__(self, starts: Integers, stops: Integers) -> None:
        """Hold the ranges [start, stop), sorted and apart."""
        self._starts, self._stops = starts, stops
        self.shortest = int(np.searchsorted(_LOWEST[1:], starts[0], side="right")) if len(starts) else 0

    def continuations(self, prefix: bytes) -> tuple[Integers, Integers]:
        tokens, lows, highs, more = _following(prefix)
        # The first range that ends above `low` is the only one that can hold the lowest code point from there on.
        place = np.searchsorted(self._stops, lows, side="right")
        inside = place < len(self._stops)
        inside[inside] = self._starts[place[inside]] <= highs[inside]
        return tokens[inside], more[inside]

    def holds(self, prefix: bytes, token: int) -> bool:
        tokens, _ = self.continuations(prefix)
        return token in tokens


def utf8_length(lead: int) -> int:
    """How many bytes a character has that begins with the byte `lead`."""
    return 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)


@lru_cache(maxsize=512)
def _following(prefix: bytes) -> tuple[Integers, Integers, Integers, Integers]:
    """After the beginning of a character: the bytes, the lowest and highest code points after them, bytes left."""
    if not prefix:
        tokens = np.concatenate([np.arange(0x80), np.arange(0xC2, 0xF5)])
        lengths = np.array([utf8_length(int(token)) for token in tokens])
        values = np.where(lengths == 1, tokens, tokens & (0x7F >> lengths))
    else:
        tokens = np.arange(0x80, 0xC0)
        lengths = np.full(len(tokens), utf8_length(prefix[0]))
        value = prefix[0] & (0x7F >> int(lengths[0]))
        for byte in prefix[1:]:
            value = value << 6 | byte & 0x3F
        values = value << 6 | tokens & 0x3F
    more = lengths - 1 - len(prefix)
    lows = np.maximum(values << 6 * more, np.array(_LOWEST)[lengths])
    highs = np.minimum((values + 1 << 6 * more) - 1, _END - 1)
    possible = lows <= highs  # what is not would be a second way to write a lower character
    return tokens[possible], lows[possible], highs[possible], more[possible]


def character_set(atom: Atom, vocabulary: Vocabulary, pattern: str) -> CharacterSet:
    """The characters that `atom`, a part of `pattern`, matches, as far as the vocabulary has them."""
    if not isinstance(vocabulary, CharacterVocabulary):
        return _byte_set(atom, pattern)
    if atom.code is not None and not atom.flags:
        ids = vocabulary.encode(chr(atom.code))
        return IdSet(ids[ids != vocabulary.unknown_id].astype(np.int64))
    found = compile_part(atom.source, atom.flags, pattern).finditer("".join(vocabulary.characters))
    return IdSet(np.array([match.start() + 1 for match in found], dtype=np.int64))


def _byte_set(atom: Atom, pattern: str) -> ByteSet:
    if atom.code is None:
        return ByteSet(*_ranges(atom.source, atom.flags, pattern))
    codes = [atom.code]
    if atom.flags:
        candidates = _cased_characters() + chr(atom.code)
        codes = sorted({ord(found) for found in compile_part(atom.source, atom.flags, pattern).findall(candidates)})
    starts = np.array([code for code in codes if not _SURROGATES[0] <= code < _SURROGATES[1]], dtype=np.int64)
    return ByteSet(starts, starts + 1)


@lru_cache(maxsize=256)
def _ranges(source: str, flags: int, pattern: str) -> tuple[Integers, Integers]:
    """The ranges of code points that a class matches, surrogates left out."""
    matched = compile_part(f"(?:{source})+", flags, pattern)
    spans = [
        (start + base, stop + base)
        for text, base in zip(_unicode(), (0, _SURROGATES[1]), strict=True)
        for start, stop in (found.span() for found in matched.finditer(text))
    ]
    if not spans:
        return _EMPTY, _EMPTY
    starts, stops = np.array(spans, dtype=np.int64).T
    return starts, stops


@lru_cache(maxsize=1)
def _unicode() -> tuple[str, str]:
    """All characters, below the surrogates and above."""
    parts = (range(_SURROGATES[0]), range(_SURROGATES[1], _END))
    below, above = (np.array(part, dtype="<u4").tobytes().decode("utf-32-le") for part in parts)
    return below, above


@lru_cache(maxsize=1)
def _cased_characters() -> str:
    """All characters that have another case: the only ones that `(?i)` makes stand for others."""
    return "".join(
        letter
        for part in _unicode()
        for letter in part
        if letter.lower() != letter or letter.upper() != letter or letter.casefold() != letter
    )


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
        """Build it."""
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
            raise refusal(pattern, self._what_is_missing())

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
        assert isinstance(node, Repeat)  # `simplify` left no anchors
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
            raise refusal(
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
                source = shorten(atoms[index].source)[1:-1]
                missing[f"any character that {source} matches" if code is None else repr(chr(code))] = None
            place = min(self._next[place], key=lambda way: int(distance[way]))
        return f"no text can match it: the model does not know {', '.join([*missing][:10])}"
