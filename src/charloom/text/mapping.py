"""Ids that stay on the disk: a file mapped into memory, and its pages let go of after they were read."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from charloom.text.vocabulary import Ids


def map_ids(path: Path, dtype: str) -> Ids:
    """A file's ids, shape (T,), read from the disk where they are looked at. The file must not be empty."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=np.dtype(dtype).newbyteorder("<"))


def release(ids: Ids) -> None:
    """Let go of the memory that looking at mapped ids, or at a part of them, has taken; they can still be read.

    Ids that are not mapped are left alone, and so are all where the system cannot do it.
    """
    base: object = ids
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
