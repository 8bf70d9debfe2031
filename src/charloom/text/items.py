"""A corpus of short items, one a line: names, codes, words, moves. Each is read from the state after a line end.

The order of a list says nothing, and an item that is there twice is not twice as important. So items are unique, in
random order, and held out whole; what comes before an item is always a line end.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from charloom.errors import CorpusError
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment, Split
from charloom.text.vocabulary import Ids, Vocabulary

LONGEST = 10_000
"""Characters of an item at most."""
LOOKED_AT = 500_000
"""Characters of a text from its beginning, by which a list is known."""
_FEWEST = 500  # lines of a list that is found by itself
_SHORT = 40  # characters of nearly all of its lines
_SENTENCE_ENDS = tuple(".,;:!?。，、；：！？…”\"')")
_ORDER = 20_000  # the seed of the random order


def looks_like_items(text: str) -> bool:
    """Whether a text is a list of short items: many lines, nearly all short, without spaces and sentence ends."""
    lines = text[:LOOKED_AT].split("\n")[:-1]
    if len(lines) < _FEWEST or statistics.quantiles(map(len, lines), n=20)[-1] > _SHORT:
        return False
    empty = sum(not line.strip() for line in lines)
    spaced = sum(any(map(str.isspace, line.strip())) for line in lines)
    ended = sum(line.rstrip().endswith(_SENTENCE_ENDS) for line in lines)
    return empty <= 0.01 * len(lines) and spaced <= 0.1 * len(lines) and ended <= 0.05 * len(lines)


def newline_id(vocabulary: Vocabulary) -> int:
    """The id of the line end.

    Raises:
        CorpusError: the text has none.
    """
    (found,) = vocabulary.encode("\n").tolist()
    if found == vocabulary.unknown_id:
        raise CorpusError("a list of items has one a line, and this text has no line end: leave --items out")
    return int(found)


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
    order = np.random.default_rng(_ORDER).permutation(len(items))
    lengths = np.cumsum([len(items[place]) for place in order])
    held_out = min(lengths[-1] * fraction, lengths[-1] if at_most is None else at_most)
    cut = int(np.searchsorted(lengths, lengths[-1] - held_out)) + 1
    cut = min(max(cut, 1), len(items) - 1)
    train, validation = (join_items([items[place] for place in part]) for part in (order[:cut], order[cut:]))
    return Split([train], [validation])


def unique_items(whole: Segment, newline: int) -> list[Ids]:
    """The items of a text in their order, each once and with the newline that ends it; empty lines are none.

    Raises:
        CorpusError: there are fewer than two, or a line is too long for one.
    """
    ids = load_ids(whole.ids[1:])
    opening = np.array([newline], dtype=ids.dtype)
    closed = ids if len(ids) and ids[-1] == newline else np.concatenate([ids, opening])
    found = {item.tobytes(): item for item in cut_items(Segment(np.concatenate([opening, closed])))}
    if len(found) < 2:
        raise CorpusError("a list of items needs at least two different lines: say --no-items")
    longest = max(map(len, found.values())) - 1
    if longest > LONGEST:
        raise CorpusError(f"a line of {longest:,} characters is no short item: say --no-items")
    return list(found.values())


def join_items(items: Sequence[Ids]) -> Segment:
    """Items as one text, the line end that ends them before it."""
    return Segment(np.concatenate([items[0][-1:], *items]))


def cut_items(text: Segment) -> list[Ids]:
    """The items of a text that a line end is before, each with the line end after it, where there is one."""
    ids = load_ids(text.ids)
    return [
        item
        for item in np.split(ids[1:], np.flatnonzero(ids[1:-1] == ids[0]) + 1)
        if len(item) > 1 or item[0] != ids[0]
    ]


def item_segments(text: Segment) -> list[Segment]:
    """The items of a text, each by itself with a line end before it; the shortest first: they are read side by side."""
    return [Segment(np.concatenate([text.ids[:1], item])) for item in sorted(cut_items(text), key=len)]
