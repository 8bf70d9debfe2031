"""A corpus of short items, one a line: names, codes, words, moves. Each is read from the state after a line end.

The order of a list says nothing, and an item that is there twice is not twice as important. So items are unique, in
random order, and held out whole; what comes before an item is always a line end.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CorpusError
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment, Split
from charloom.text.vocabulary import Ids, Vocabulary

LONGEST = 10_000
"""Characters of an item at most."""
_LOOKS, _LOOK = 8, 60_000  # places of a text that are looked at, evenly apart, and characters at each
_FEWEST = 500  # lines of a list that is found by itself
_SHORT = 40  # characters of nearly all of its lines
_SEPARATORS = frozenset(",;|")  # of the fields of a table
_SENTENCE_ENDS = tuple(".,;:!?。，、；：！？…”\"')")
_ORDER = 20_000  # the seed of the random order


def looks_like_items(ids: Ids, vocabulary: Vocabulary) -> bool:
    """Whether a text (N,) is a list of short items, by some stretches of it: many lines, and each stretch of a list."""
    count = len(ids)
    starts = [0] if count <= _LOOKS * _LOOK else np.linspace(0, count - _LOOK, _LOOKS).astype(int).tolist()
    length = count if len(starts) == 1 else _LOOK
    stretches = [vocabulary.decode(load_ids(ids[start : start + length])).split("\n") for start in starts]
    lines = [stretch[1 if start else 0 : -1] for start, stretch in zip(starts, stretches, strict=True)]
    return sum(map(len, lines)) >= _FEWEST and all(map(_are_items, lines))


def _are_items(lines: Sequence[str]) -> bool:
    """Whether lines are nearly all short, most of them different and not of one length, few of text or a table."""
    if len(lines) < 2 or statistics.quantiles(map(len, lines), n=20)[-1] > _SHORT:
        return False
    of_one_length = max(Counter(map(len, lines)).values())  # all: a text that was wrapped, or verse
    parted = sum(any(c.isspace() or c in _SEPARATORS for c in line.strip()) for line in lines)
    ended = sum(line.rstrip().endswith(_SENTENCE_ENDS) for line in lines)
    empty = sum(not line.strip() for line in lines)
    return (
        len(set(lines)) >= 0.5 * len(lines)
        and of_one_length <= 0.8 * len(lines)
        and parted <= 0.1 * len(lines)
        and ended <= 0.05 * len(lines)
        and empty <= 0.01 * len(lines)
    )


def newline_id(vocabulary: Vocabulary) -> int:
    """The id of the line end.

    Raises:
        CorpusError: there is none.
    """
    (found,) = vocabulary.encode("\n").tolist()
    if found == vocabulary.unknown_id:
        raise CorpusError("items have a line each, and no line end is among the known characters: leave --items out")
    return int(found)


def longest_line(ids: Ids, newline: int) -> int:
    """The symbols of the longest line of a text (N,)."""
    ends = np.flatnonzero(ids == newline)
    return int(np.diff(ends, prepend=-1, append=len(ids)).max()) - 1


def split_items(whole: Segment, newline: int, fraction: float, at_most: int | None = None) -> Split:
    """Unique items in random order, always the same one; the last `fraction` of them is held out.

    Args:
        whole: the text.
        newline: the id that ends an item.
        fraction: of the symbols to hold out.
        at_most: symbols to hold out at most.

    Returns:
        Two texts, with an item a line.
    """
    items = unique_items(whole, newline)
    lengths = np.diff(np.flatnonzero(items.ids == newline))
    order = np.random.default_rng(_ORDER).permutation(len(lengths))
    ends = np.cumsum(lengths[order])
    held_out = min(ends[-1] * fraction, ends[-1] if at_most is None else at_most)
    cut = min(max(int(np.searchsorted(ends, ends[-1] - held_out)) + 1, 1), len(order) - 1)
    train, validation = (_reordered(items, lengths, part) for part in (order[:cut], order[cut:]))
    return Split([train], [validation])


def unique_items(whole: Segment, newline: int) -> Segment:
    """A text with each item once, in their order, each with a line end after it; empty lines are none.

    Raises:
        CorpusError: there are fewer than two, or a line is too long for one.
    """
    ids = load_ids(whole.ids[1:])
    longest = longest_line(ids, newline)
    if longest > LONGEST:
        raise CorpusError(f"a line of {longest:,} characters is no short item: {LONGEST:,} is the most")
    # As strings, a code point an id: Python splits and compares millions of them in a second.
    coded = ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    found = dict.fromkeys(coded.split(chr(newline)))
    found.pop("", None)
    if len(found) < 2:
        raise CorpusError("a list of items needs at least two different lines")
    joined = "".join(f"{chr(newline)}{item}" for item in found) + chr(newline)
    return Segment(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4").astype(ids.dtype))


def _reordered(items: Segment, lengths: NDArray[np.int64], order: NDArray[np.int64]) -> Segment:
    """Some items of a text in another order, a line end before them."""
    starts = 1 + np.cumsum(lengths) - lengths
    chosen, own = starts[order], lengths[order]
    places = np.repeat(chosen - (np.cumsum(own) - own), own) + np.arange(own.sum())
    return Segment(items.ids[np.concatenate([[0], places])])


def item_segments(text: Segment) -> list[Segment]:
    """The items of a text that a line end is before, each with that and the line end after it; the shortest first."""
    ids = load_ids(text.ids)
    starts = np.flatnonzero(ids[:-1] == ids[0])
    ends = np.append(starts[1:] + 1, len(ids))
    is_item = ids[starts + 1] != ids[0]
    starts, ends = starts[is_item], ends[is_item]
    return [Segment(ids[starts[place] : ends[place]]) for place in np.argsort(ends - starts, kind="stable")]
