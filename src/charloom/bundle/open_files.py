"""A directory's files held open: what is read later is still what was there when the directory was opened.

A file that is replaced by a rename lives on for whoever has it open. Windows refuses to replace a file that somebody
holds open, so nothing is held there and files are read when they are needed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from collections.abc import Iterable
from pathlib import Path

from charloom.bundle.config import CONFIG
from charloom.errors import ModelDirectoryError

_CAN_HOLD = os.name == "posix"
# Without O_NONBLOCK, opening a named pipe would wait for somebody to write into it.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class OpenFiles:
    """Files of one directory, open until this object is no longer used."""

    def __init__(self, directory: Path, names: Iterable[str]) -> None:
        """Hold those of `names` that can be opened; reading one of the others tells why it cannot."""
        self._directory = directory
        self._open: dict[str, int] = {}
        # Not __del__: it runs at exit too, and where the object is part of a cycle.
        weakref.finalize(self, _close, self._open)
        if _CAN_HOLD:
            for name in names:
                try:
                    self._open[name] = os.open(directory / name, _FLAGS)
                except OSError:
                    continue

    def read(self, name: str, limit: int) -> bytes:
        """The file's content."""
        file = self._directory / name
        held = self._open.get(name)
        try:
            if held is not None:
                return _content(held, file, limit)
            passing = os.open(file, _FLAGS)
            try:
                return _content(passing, file, limit)
            finally:
                os.close(passing)
        except FileNotFoundError:
            message = f"{self._directory} is incomplete: {name} is missing; copy the model again"
            raise ModelDirectoryError(message) from None
        except OSError as error:
            raise ModelDirectoryError(f"cannot read {file}: {error.strerror}") from error

    def read_verified(self, name: str, sha256: str, limit: int) -> bytes:
        """The file's content, its checksum verified."""
        content = self.read(name, limit)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelDirectoryError(
                f"{self._directory / name} is damaged: its checksum is not the one in {CONFIG}; "
                f"copy the model again or retrain"
            )
        return content


def read_shown(path: Path, sha256: str | None, limit: int, *, end: bool = False) -> bytes | None:
    """Up to `limit` bytes of a file that people are shown; None where there is nothing to show.

    A link is followed to the content that config.json names, and within the cache of the hub. Otherwise a model that
    a stranger made could show, or put into a package, any file of this machine.

    Args:
        path: the file.
        sha256: the checksum that config.json names, if it does.
        limit: bytes to read at most.
        end: read the last bytes, not the first.
    """
    is_link = is_link_elsewhere(path)
    if not is_link:
        path = path.resolve() if path.is_symlink() else path
    try:
        descriptor = os.open(path, _FLAGS if is_link else _FLAGS | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor has no path)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or (is_link and facts.st_size > limit):
            return None
        if end:
            file.seek(max(0, facts.st_size - limit))
        content = file.read(limit)
    return content if not is_link or hashlib.sha256(content).hexdigest() == sha256 else None


def is_link_elsewhere(path: Path) -> bool:
    """Whether a path is a link, and not one within the hub's cache: `snapshots/COMMIT/NAME` to `blobs/CONTENT`."""
    if not path.is_symlink():
        return False
    snapshots = path.parent.resolve().parent
    return snapshots.name != "snapshots" or path.resolve().parent != snapshots.parent / "blobs"


def _content(descriptor: int, file: Path, limit: int) -> bytes:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise ModelDirectoryError(f"cannot read {file}: it is not a file")
    if facts.st_size > limit:
        raise ModelDirectoryError(f"{file} is too large to be true: {facts.st_size:,} bytes, at most {limit:,}")
    # By a duplicate and from its beginning: the same file may be read again.
    with open(os.dup(descriptor), "rb", closefd=True) as stream:  # noqa: PTH123  (a descriptor has no path)
        stream.seek(0)
        return stream.read(facts.st_size)  # not `limit`: read() sets aside what it is asked for


def _close(descriptors: dict[str, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])
