"""Contiguous rows for truncated back-propagation through time.

The training text is taken as a ring of N characters. Each epoch starts at a random place on it and lays B rows of
N // B characters end to end; all rows advance together, one window at a time, so that the state a row ends a
window with is the state it begins the next one with. An epoch predicts every character but N mod B of them
(fewer than B, others each time). Where the ring closes, the first character follows the last.

Legend: N characters, B rows, T time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CorpusError
from charloom.settings import TrainingSettings
from charloom.text.prepared import is_mapped, load_ids
from charloom.text.vocabulary import Ids


class RingBatches:
    """Windows of the training text by epoch and index; what they are depends on nothing else.

    The text may be in a file larger than memory, of which a window is read at a time.
    """

    def __init__(self, ids: Ids, batch_size: int, bptt: int, seed: int) -> None:
        """Lay `ids` (N,) out in `batch_size` rows, read in windows of at most `bptt`."""
        self._ids = ids
        self._on_disk = is_mapped(ids)
        self._seed = seed
        self.batch_size = batch_size
        self.row_length = len(ids) // batch_size
        self.windows_per_epoch = -(-self.row_length // bptt)
        # Windows of equal length, give or take one: no short last window with a noisy gradient.
        edges = np.linspace(0, self.row_length, self.windows_per_epoch + 1)
        self._edges: list[int] = np.rint(edges).astype(int).tolist()

    def window(self, epoch: int, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets (T, B) of one window; targets are the inputs shifted by one character."""
        offset = np.random.default_rng((self._seed, epoch)).integers(len(self._ids))
        start, end = self._edges[index], self._edges[index + 1]
        row_starts = offset + np.arange(self.batch_size) * self.row_length
        if self._on_disk:
            read = np.stack([self._stretch(int(row) + start, end + 1 - start) for row in row_starts], axis=1)
        else:
            read = self._ids[(row_starts[None, :] + np.arange(start, end + 1)[:, None]) % len(self._ids)]
        chunk = read.astype(np.int64)  # (T + 1, B)
        return chunk[:-1], chunk[1:]

    def _stretch(self, start: int, length: int) -> Ids:
        """Ids (T,) from a place on the ring, read from the disk."""
        start %= len(self._ids)
        stretch = load_ids(self._ids[start : start + length])
        missing = length - len(stretch)
        return stretch if missing == 0 else np.concatenate([stretch, load_ids(self._ids[:missing])])

    def characters(self, index: int) -> int:
        """How many characters window `index` of an epoch predicts: T × B."""
        return (self._edges[index + 1] - self._edges[index]) * self.batch_size


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
