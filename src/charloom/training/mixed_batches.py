"""Two texts learned together (`--keep-old`): in each epoch all of the new one, and as much of the old one.

Of a longer old text each epoch takes another part. Both lie on one ring, or are items of one list, so that about half
of the rows of an update are of the old text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from charloom.text.vocabulary import Ids
from charloom.training.batches import Batches, ItemBatches, RingBatches

_STREAM = 2  # of random numbers, beside those of the state's resets


class MixedBatches(Batches):
    """The windows of batches that are made anew for each epoch."""

    def __init__(self, make: Callable[[int], Batches]) -> None:
        """Read epoch `n` from `make(n)`; all of them have as many rows and windows."""
        self._make = make
        self._epoch, self._batches = 0, make(0)
        self.batch_size = self._batches.batch_size
        self.windows_per_epoch = self._batches.windows_per_epoch
        self.carries_state = self._batches.carries_state
        self._characters = [self._batches.characters(index) for index in range(self.windows_per_epoch)]

    def window(self, epoch: int, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._make(epoch)
            self._batches.windows_per_epoch = self.windows_per_epoch  # the items of another epoch are longer or shorter
        return self._batches.window(epoch, index)

    def characters(self, index: int) -> int:
        return self._characters[index]


def mixed_rows(new: Sequence[Ids], old: Ids, batch_size: int, bptt: int, seed: int) -> MixedBatches:
    """Contiguous rows of a new text in parts, and of a stretch of the old one that begins elsewhere in each epoch."""
    length = min(sum(map(len, new)), len(old))

    def make(epoch: int) -> Batches:
        start = int(np.random.default_rng((seed, _STREAM, epoch)).integers(len(old)))
        return RingBatches([*new, _stretch(old, start, start + length)], batch_size, bptt, seed)

    return MixedBatches(make)


def mixed_items(new: Ids, old: Ids, batch_size: int, bptt: int, seed: int) -> MixedBatches:
    """The items of a new list, and as many of the old one, others in each epoch; each ends with the list's last id."""
    ends = np.flatnonzero(old == old[-1]) + 1
    edges = np.concatenate([[0], ends, len(old) + ends])  # of the old items, twice round
    count = min(int((new == new[-1]).sum()), len(ends))

    def make(epoch: int) -> Batches:
        first = np.random.default_rng((seed, _STREAM, epoch)).integers(len(ends))
        part = _stretch(old, int(edges[first]), int(edges[first + count]))
        return ItemBatches(np.concatenate([new, part]), batch_size, bptt, seed)

    return MixedBatches(make)


def _stretch(ids: Ids, start: int, end: int) -> Ids:
    """Ids from a place to another, at most once round; after the end comes the beginning."""
    return np.concatenate([ids[start:end], ids[: max(0, end - len(ids))]])
