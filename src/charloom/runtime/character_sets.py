r"""Which of a vocabulary's ids a character of a pattern can be.

With a characters vocabulary a character is one id. With a bytes vocabulary it is one to four, and a set also says
which bytes may follow the beginning of a character. Python's `re` is asked which characters belong to a set, every
one of them, so that `\w`, negated classes and `(?i)` mean exactly what they mean to `re`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.expression import Atom, compiled
from charloom.text.vocabulary import CharacterVocabulary, Vocabulary

Integers = NDArray[np.integer[Any]]

_SURROGATES: Final = (0xD800, 0xE000)  # UTF-8 has no bytes for these code points
_END: Final = 0x110000
_LOWEST: Final = (0, 0, 0x80, 0x800, 0x10000)  # the lowest code point of a character of so many bytes
_EMPTY: Final = np.zeros(0, dtype=np.int64)


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
    """The characters that `atom`, a part of `pattern`, stands for, as far as the vocabulary has them."""
    if not isinstance(vocabulary, CharacterVocabulary):
        return _byte_set(atom, pattern)
    if atom.code is not None and not atom.flags:
        ids = vocabulary.encode(chr(atom.code))
        return IdSet(ids[ids != vocabulary.unknown_id].astype(np.int64))
    found = compiled(atom.source, atom.flags, pattern).finditer("".join(vocabulary.characters))
    return IdSet(np.array([match.start() + 1 for match in found], dtype=np.int64))


def _byte_set(atom: Atom, pattern: str) -> ByteSet:
    if atom.code is None:
        return ByteSet(*_ranges(atom.source, atom.flags, pattern))
    codes = [atom.code]
    if atom.flags:
        candidates = _cased() + chr(atom.code)
        codes = sorted({ord(found) for found in compiled(atom.source, atom.flags, pattern).findall(candidates)})
    starts = np.array([code for code in codes if not _SURROGATES[0] <= code < _SURROGATES[1]], dtype=np.int64)
    return ByteSet(starts, starts + 1)


@lru_cache(maxsize=256)
def _ranges(source: str, flags: int, pattern: str) -> tuple[Integers, Integers]:
    """The ranges of code points that a class stands for, surrogates left out."""
    matched = compiled(f"(?:{source})+", flags, pattern)
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
def _cased() -> str:
    """All characters that have another case: the only ones that `(?i)` makes stand for others."""
    return "".join(
        letter
        for part in _unicode()
        for letter in part
        if letter.lower() != letter or letter.upper() != letter or letter.casefold() != letter
    )
