"""Ids that stay on the disk: an array that stands for a file, of which parts are read when they are needed.

The array is mapped into memory, so that it can be cut and reshaped like any other; but its pages are never touched.
`loaded` reads a part with a system call instead: a file that another program makes shorter would end the process
otherwise, and one that it writes to would be learned from without a word.
"""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

import numpy as np

from charloom.errors import CorpusError
from charloom.text.vocabulary import Ids


class _MappedFile(mmap.mmap):
    """A mapped file that is open for reading as well; `facts` tell whether it has changed since it was opened."""

    path: Path
    descriptor: int
    facts: tuple[int, int]
    address: int


def map_ids(path: Path, dtype: str) -> Ids:
    """A file's ids, shape (T,); `loaded` reads parts of them. The file must not be empty."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        mapped = _MappedFile(descriptor, 0, access=mmap.ACCESS_READ)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(mapped, os.close, descriptor)
    ids = np.frombuffer(mapped, dtype=np.dtype(dtype).newbyteorder("<"))
    mapped.path, mapped.descriptor, mapped.facts = path, descriptor, _facts(descriptor)
    mapped.address = _address(ids)
    return ids


def is_mapped(ids: Ids) -> bool:
    """Whether the ids are part of a mapped file."""
    return _file_of(ids) is not None


def loaded(ids: Ids) -> Ids:
    """The same ids in memory: read from the disk where they are part of a mapped file, else as they are.

    Raises:
        CorpusError: the file has changed since it was mapped, or cannot be read.
    """
    file = _file_of(ids)
    if file is None or ids.size == 0:
        return ids
    if not hasattr(os, "pread"):  # Windows, where nobody can make a mapped file shorter
        return ids.copy()
    below = sum((size - 1) * stride for size, stride in zip(ids.shape, ids.strides, strict=True) if stride < 0)
    above = sum((size - 1) * stride for size, stride in zip(ids.shape, ids.strides, strict=True) if stride > 0)
    start, length = _address(ids) + below - file.address, above - below + ids.itemsize
    return np.ndarray(ids.shape, ids.dtype, _read(file, start, length), -below, ids.strides)


def _file_of(ids: Ids) -> _MappedFile | None:
    base: object = ids
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, _MappedFile) else None


def _read(file: _MappedFile, start: int, length: int) -> bytes:
    content = b""
    try:
        while len(content) < length and (piece := os.pread(file.descriptor, length - len(content), start)):
            content, start = content + piece, start + len(piece)
    except OSError as error:
        raise CorpusError(f"cannot read {file.path}: {error.strerror}") from error
    if len(content) < length or _facts(file.descriptor) != file.facts:
        raise CorpusError(
            f"{file.path} was changed by another program while it was in use: prepare the text again, and start anew"
        )
    return content


def _facts(descriptor: int) -> tuple[int, int]:
    facts = os.fstat(descriptor)
    return facts.st_size, facts.st_mtime_ns


def _address(ids: Ids) -> int:
    return int(ids.__array_interface__["data"][0])
