"""What an update learns from: a window of contiguous rows, or a number of short items side by side.

Contiguous rows are for truncated back-propagation through time.

The training text is taken as a ring of N characters. Each epoch starts at a random place on it and lays B rows of
N // B characters end to end; all rows advance together, one window at a time, so that the state a row ends a
window with is the state it begins the next one with. An epoch predicts every character but N mod B of them
(fewer than B, others each time). Where the ring closes, the first character follows the last.

Short items are learned each from the state after a line end, a random batch of about the same length in each update.

Legend: N characters, B rows, T time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CorpusError
from charloom.settings import TrainingSettings
from charloom.text.prepared import is_mapped, load_ids
from charloom.text.vocabulary import Ids

NO_TARGET: Final = -100
"""A place that predicts nothing; PyTorch's cross-entropy leaves it out."""

_JOINED: Final = 0.1  # of the items follow another one in its row
_SORTED_WINDOWS: Final = 16  # windows whose rows are sorted by length among each other


class Batches(ABC):
    """Windows of the training text by epoch and index; what they are depends on nothing else.

    Attributes:
        batch_size: rows.
        windows_per_epoch: in one pass over the text.
        carries_state: whether a row goes on where the row of the window before ended.
    """

    batch_size: int
    windows_per_epoch: int
    carries_state: bool

    @abstractmethod
    def window(self, epoch: int, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets (T, B) of one window; a target of `NO_TARGET` is none."""

    @abstractmethod
    def characters(self, index: int) -> int:
        """How many characters window `index` of an epoch predicts."""


class RingBatches(Batches):
    """Windows of contiguous rows, which may be in a file larger than memory, of which a window is read at a time."""

    carries_state = True

    def __init__(self, ids: Ids | Sequence[Ids], batch_size: int, bptt: int, seed: int) -> None:
        """Lay `ids` (N,), which may come in parts, out in `batch_size` rows, read in windows of at most `bptt`."""
        parts = [ids] if isinstance(ids, np.ndarray) else list(ids)
        self._on_disk = any(is_mapped(part) for part in parts)
        self._parts = parts if self._on_disk or len(parts) == 1 else [np.concatenate(parts)]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._seed = seed
        self.batch_size = batch_size
        self._length = int(self._starts[-1])
        self.row_length = self._length // batch_size
        self.windows_per_epoch = -(-self.row_length // bptt)
        # Windows of equal length, give or take one: no short last window with a noisy gradient.
        edges = np.linspace(0, self.row_length, self.windows_per_epoch + 1)
        self._edges: list[int] = np.rint(edges).astype(int).tolist()

    def window(self, epoch: int, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets (T, B) of one window; targets are the inputs shifted by one character."""
        offset = np.random.default_rng((self._seed, epoch)).integers(self._length)
        start, end = self._edges[index], self._edges[index + 1]
        row_starts = offset + np.arange(self.batch_size) * self.row_length
        if self._on_disk:
            read = np.stack([self._stretch(int(row) + start, end + 1 - start) for row in row_starts], axis=1)
        else:
            read = self._parts[0][(row_starts[None, :] + np.arange(start, end + 1)[:, None]) % self._length]
        chunk = read.astype(np.int64)  # (T + 1, B)
        return chunk[:-1], chunk[1:]

    def _stretch(self, start: int, length: int) -> Ids:
        """Ids (T,) from a place on the ring, read from the disk."""
        start %= self._length
        which = int(np.searchsorted(self._starts, start, side="right")) - 1
        read: list[Ids] = []
        while length > 0:
            place = max(0, start - int(self._starts[which]))
            read.append(load_ids(self._parts[which][place : place + length]))
            length -= len(read[-1])
            start, which = 0, (which + 1) % len(self._parts)
        return np.concatenate(read)

    def characters(self, index: int) -> int:
        """How many characters window `index` of an epoch predicts: T × B."""
        return (self._edges[index + 1] - self._edges[index]) * self.batch_size


class ItemBatches(Batches):
    """Items side by side, each from the state after a line end; now and then two or more in one row.

    So a model that goes on after the end of an item knows what to do.
    """

    carries_state = False

    def __init__(self, text: Ids, batch_size: int, bptt: int, seed: int) -> None:
        """Learn the items of `text` (N,), each ended by the id it ends with, in windows of about batch_size · bptt."""
        self.batch_size = batch_size
        self._ids = text
        self._newline = int(text[-1])
        ends = np.flatnonzero(text == self._newline) + 1
        self._lengths = np.diff(ends, prepend=0)
        self._starts = ends - self._lengths
        self._seed = seed
        self.windows_per_epoch = max(1, min(len(ends) // 2, round(len(text) / (batch_size * bptt))))
        self._epoch = -1
        self._order = self._begins = self._ends = np.empty(0, dtype=np.int64)
        self._windows: list[NDArray[np.int64]] = []

    def window(self, epoch: int, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if epoch != self._epoch:
            self._arrange(np.random.default_rng((self._seed, epoch)))
            self._epoch = epoch
        rows = [self._row(self._order[self._begins[row] : self._ends[row]]) for row in self._windows[index]]
        targets = np.full((max(map(len, rows)), len(rows)), NO_TARGET, dtype=np.int64)
        for column, row in enumerate(rows):
            targets[: len(row), column] = row
        inputs = np.roll(np.where(targets == NO_TARGET, self._newline, targets), 1, axis=0)
        inputs[0] = self._newline
        return inputs, targets

    def _row(self, items: NDArray[np.int64]) -> Ids:
        return np.concatenate([self._ids[self._starts[item] :][: self._lengths[item]] for item in items])

    def characters(self, index: int) -> int:
        """The mean of all windows: they differ from epoch to epoch by a few characters."""
        before, after = (place * len(self._ids) // self.windows_per_epoch for place in (index, index + 1))
        return after - before

    def _arrange(self, generator: np.random.Generator) -> None:
        """Put the items of an epoch in a random order, in rows, and the rows in windows; every item is in one."""
        windows, order = self.windows_per_epoch, generator.permutation(len(self._lengths))
        follows = generator.random(len(order)) < _JOINED
        follows[0] = False
        if len(order) - follows.sum() < windows:
            follows[:] = False  # so few items that a window would have none
        begins = np.flatnonzero(~follows)
        lengths = np.add.reduceat(self._lengths[order], begins)
        # Windows side by side in the random order are sorted by length among each other: rows of like length share one.
        windows_before = (np.cumsum(lengths) - 1) * windows // len(self._ids)
        by_length = np.lexsort((lengths, windows_before // _SORTED_WINDOWS))
        ends = np.arange(1, windows) * len(self._ids) / windows
        cuts = np.searchsorted(np.cumsum(lengths[by_length]), ends)
        if len(np.unique([0, *cuts, len(begins)])) <= windows:  # a long item would leave a window without any
            cuts = np.arange(1, windows) * len(begins) // windows
        arranged = np.split(by_length, cuts)
        self._order, self._begins, self._ends = order, begins, np.append(begins[1:], len(order))
        self._windows = [arranged[place] for place in generator.permutation(windows)]


def fit_batch(characters: int, settings: TrainingSettings, explicit: frozenset[str]) -> TrainingSettings:
    """Shrink batch and window to a small text where the user did not set them: every row needs a window."""
    rows, window = settings.batch_size, settings.bptt
    if characters >= rows * window:
        return settings
    if "batch_size" not in explicit:
        rows = max(1, characters // window)
    if characters < rows * window and "bptt" not in explicit:
        window = max(1, characters // rows)
    if characters < rows * window:
        raise CorpusError(_too_short(characters, rows, window))
    return settings.model_copy(update={"batch_size": rows, "bptt": window})


def _too_short(characters: int, rows: int, window: int) -> str:
    fits = []
    if characters >= window:
        fits.append(f"--batch-size {characters // window}")
    if characters >= rows:
        fits.append(f"--bptt {characters // rows}")
    return (
        f"{characters:,} characters to train on are too few for {rows} rows of {window}: "
        f"{rows * window:,} are needed; " + (f"{' or '.join(fits)} would fit" if fits else "use a longer text")
    )
