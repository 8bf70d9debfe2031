"""Whether the held-out end of a text is like the rest: what a 3-gram needs for it and for stretches of the rest.

A licence, an index or another language at the end makes every figure on it one of another text. The part that is
learned is cut into stretches; each is predicted by a 3-gram of the others, and the end by a 3-gram of all of them. How
much the stretches differ among each other says how much a difference means.

The 3-gram is interpolated with absolute discounting (Ney, Essen and Kneser, 1994). Legend: K parts, G n-grams.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.text.prepared import load_ids
from charloom.text.splits import Segment, Split
from charloom.text.vocabulary import Ids

STRETCHES = 9
_LOOKED_AT = 50_000  # symbols of a stretch
_PIECES = 10  # of a longer stretch
_FEWEST = 1_000  # symbols of a stretch: fewer say little
_DISCOUNT = 0.75
_ORDER = 3
_CLEARLY = 0.06  # of the usual bits: how much more the end must take
_UNUSUAL = 4  # times as far from the usual bits as the stretches are; one of them may be odd, such as a preface


@dataclass(frozen=True)
class Likeness:
    """Bits a symbol by a 3-gram of the text that is learned.

    Attributes:
        held_out: of the end of the text, which is held out.
        stretches: of each stretch before it, by the others.
    """

    held_out: float
    stretches: tuple[float, ...]

    @property
    def learned(self) -> float:
        """What is usual for the text that is learned: the median of its stretches."""
        return statistics.median(self.stretches)

    @property
    def unlike(self) -> bool:
        """Whether the end is clearly harder to predict than any stretch but one is."""
        more, usual = self.held_out - self.learned, sorted(self.stretches)[-2] - self.learned
        return more > _CLEARLY * self.learned and more > _UNUSUAL * usual


def measure_likeness(split: Split, symbols: int) -> Likeness | None:
    """Compare the held-out end of a text with what is before it; None where there is too little of either.

    Args:
        split: of the kind `tail`.
        symbols: how many different ids there are.
    """
    (text,), (end,) = split.train, split.validation
    length = min(end.predicted, text.predicted // STRETCHES)
    if length < _FEWEST:
        return None
    starts = np.linspace(0, text.predicted - length, STRETCHES).astype(int)
    stretches = [Segment(text.ids[start : start + length + 1]) for start in starts]
    parts = [_sample(part.ids[1:]) for part in (*stretches, end)]
    bits = _bits_of_parts(parts, symbols)
    return Likeness(bits[-1], tuple(bits[:-1]))


def _sample(ids: Ids) -> NDArray[np.int64]:
    """The ids of a stretch; of a long one pieces that are evenly spread over it."""
    if len(ids) <= _LOOKED_AT:
        return load_ids(ids).astype(np.int64)
    size = _LOOKED_AT // _PIECES
    starts = np.linspace(0, len(ids) - size, _PIECES).astype(int)
    return np.concatenate([load_ids(ids[start : start + size]) for start in starts]).astype(np.int64)


@dataclass(frozen=True)
class _Grams:
    """The different n-grams of all parts.

    Attributes:
        counts: how often each is in each part, (K, G).
        context: of each the (n − 1)-gram it begins with, (G,), numbered from 0.
        shorter: of each the number of the (n − 1)-gram that it ends with, (G,).
    """

    counts: NDArray[np.int64]
    context: NDArray[np.int64]
    shorter: NDArray[np.int64]


def _bits_of_parts(parts: list[NDArray[np.int64]], symbols: int) -> list[float]:
    """Bits a symbol of each part, by a 3-gram of all parts but the last and itself."""
    grams = _count(parts, symbols)
    bits = []
    for part in range(len(parts)):
        chances = np.full(symbols, 1 / symbols)
        for each in grams:
            known = each.counts[:-1].sum(axis=0) - (each.counts[part] if part < len(parts) - 1 else 0)
            seen = np.bincount(each.context, known)[each.context]
            kinds = np.bincount(each.context, known > 0)[each.context]
            lower = chances[each.shorter]
            with np.errstate(invalid="ignore", divide="ignore"):
                mixed = (np.maximum(known - _DISCOUNT, 0) + _DISCOUNT * kinds * lower) / seen
            chances = np.where(seen > 0, mixed, lower)
        bits.append(float(-(grams[-1].counts[part] @ np.log2(chances)) / grams[-1].counts[part].sum()))
    return bits


def _count(parts: list[NDArray[np.int64]], symbols: int) -> list[_Grams]:
    grams: list[_Grams] = []
    number = np.arange(len(parts)).repeat([len(part) - _ORDER + 1 for part in parts])
    keys = np.concatenate([part[_ORDER - 1 :] for part in parts])
    shorter_of_place = keys
    for order in range(1, _ORDER + 1):
        if order > 1:
            before = np.concatenate([part[_ORDER - order : len(part) - order + 1] for part in parts])
            keys = before * symbols ** (order - 1) + keys
        found, which = np.unique(keys, return_inverse=True)
        shorter = np.empty(len(found), dtype=np.int64)
        shorter[which] = shorter_of_place
        _, context = np.unique(found // symbols, return_inverse=True)
        counts = np.bincount(number * len(found) + which, minlength=len(parts) * len(found))
        grams.append(_Grams(counts.reshape(len(parts), -1), context, shorter))
        shorter_of_place = which
    return grams
