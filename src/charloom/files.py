"""Files that are either whole or not there: written beside, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from charloom.errors import StorageError, UsageError

TEMPORARY_SUFFIX = ".part"


def expand_home(path: Path | str) -> Path:
    """A path as it was typed, with the user's home for `~`.

    Raises:
        UsageError: it is not a path, or it begins with `~name` and there is no such user.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{path!r:.60} is not a path: give a string or a pathlib.Path")
    try:
        is_name = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise UsageError(f"{path!r:.60} is not a path: no file can have this name")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no user of that name; write the path out") from None


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into one clear line.

    Raises:
        StorageError: for any `OSError` inside the block.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(_explain(error, path)) from error


def link_to_nothing(path: Path) -> str | None:
    """The sentence about a link, on the way to a path or the path itself, that leads to nothing; None without one."""
    for place in (*reversed(path.parents), path):
        with contextlib.suppress(OSError):
            if place.is_symlink() and not place.exists():
                return f"{place} is a link to nothing: remove it, make what it leads to, or choose another name"
    return None


def _explain(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"cannot write {path}: the disk is full ({error.strerror}); free some space and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {path}: {error.strerror}; choose a folder that you may write to"
    if error.errno in (errno.ENOENT, errno.EEXIST) and (sentence := link_to_nothing(path)) is not None:
        return f"cannot write {path}: {sentence}"
    if error.errno == errno.ENOENT and not path.parent.exists():
        return f"cannot write {path}: there is no folder {path.parent}; make it first"
    return f"cannot write {path}: {error.strerror or error}"


@contextlib.contextmanager
def atomic_write(path: Path, *, flush: bool = True) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when the block ends without an error.

    Args:
        path: its name.
        flush: bring it to the disk before it appears, so that a power cut does not leave a part of it.

    Raises:
        StorageError: it cannot be written; what the name held before is still there.
    """
    temporary = _temporary(path)
    with storage_errors(path), _removed_on_error(temporary):
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        temporary.replace(path)
        if flush:
            _flush_directory(path.parent)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path`, to write and read, that goes when the block ends.

    Only `write_together`, given it as `written`, makes it stay.

    Raises:
        StorageError: it cannot be written; also for any other `OSError` inside the block.
    """
    temporary = _temporary(path)
    with storage_errors(path):
        try:
            with temporary.open("w+b") as file:
                yield file
        finally:
            temporary.unlink(missing_ok=True)


def write_together(
    directory: Path,
    files: Mapping[str, bytes | Path],
    commit: str,
    written: Mapping[str, BinaryIO] | None = None,
    stale: Iterable[str] = (),
) -> None:
    """Write several files so that a reader sees them all or sees that they are not committed.

    Everything is written beside first, so a full disk is met before any name changes. Then the file
    named `commit` is set aside, the others are renamed into place, `commit` comes last, and the older one goes.
    So a process that is killed leaves the old commit or the new one under some name, which says whose the files are.

    Args:
        directory: where to write.
        files: contents by name, or files of the same disk, which are moved.
        commit: the one of them that says that the others are there.
        written: what is too large for `files`: files that `temporary_beside` opened.
        stale: names of an older set of files that are to go.

    Raises:
        StorageError: nothing was changed if a file could not be written.
    """
    names = {*files, *(written or {})}
    with storage_errors(directory):
        # What an earlier attempt of a process of this number left is a record too.
        _set_aside(_temporary(directory / commit), commit)
        with _removed_on_error(*(_temporary(directory / name) for name in files)):
            for name, content in files.items():
                _write_beside(directory / name, content)
            for file in (written or {}).values():
                file.flush()
                os.fsync(file.fileno())
            _check_specs(directory, files, written or {})
        # From here what was written stays, whatever happens: it says which files are charloom's.
        _set_aside(directory / commit, commit)
        for name in {*stale} - names:
            (directory / name).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: name == commit):
            _temporary(directory / name).replace(directory / name)
        _flush_directory(directory)
    for path in directory.glob(_temporary(directory / f"{commit}.*").name):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _set_aside(path: Path, commit: str) -> None:
    """Give a commit, if there is one, a hidden name that no other one has."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(_temporary(path.with_name(f"{commit}.{uuid.uuid4().hex}")))


def _write_beside(path: Path, content: bytes | Path) -> None:
    temporary = _temporary(path)
    if isinstance(content, Path):
        content.replace(temporary)
    with temporary.open("ab") as file:  # Windows flushes only what is open for writing
        if isinstance(content, bytes):
            file.truncate(0)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_specs(directory: Path, files: Iterable[str], written: Mapping[str, BinaryIO]) -> None:
    """See that all that was written beside is still there, before what it replaces goes.

    Raises:
        StorageError: it is not: somebody removed it.
    """
    for name in (*files, *written):
        temporary = _temporary(directory / name)
        gone = not temporary.is_file()
        if gone or (name in written and not os.path.samestat(temporary.stat(), os.fstat(written[name].fileno()))):
            raise StorageError(
                f"cannot write {directory / name}: another program removed {temporary.name}; "
                f"nothing was changed, so start again"
            )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


@contextlib.contextmanager
def _removed_on_error(*temporaries: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for temporary in temporaries:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise


def _flush_directory(directory: Path) -> None:
    """Make the renames themselves survive a power cut, where the system lets a folder be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
