"""A model out of an archive that anybody may have made: only the model's own files, bounded, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from gzip import BadGzipFile, GzipFile
from pathlib import Path, PurePosixPath
from typing import IO, cast, get_args

from charloom.bundle import open_model_directory
from charloom.bundle.config import CONFIG, FileName
from charloom.errors import ModelDirectoryError, UsageError
from charloom.files import TEMPORARY_SUFFIX, expand_home, storage_errors

_MODEL_FILES = frozenset({CONFIG, *get_args(FileName)})
_MOST_MEMBERS = 10_000
_MOST_BYTES = 8 << 30
_SMALL = 64 << 20  # bytes that an archive may always unpack to
_MOST_DENSE = 100  # bytes out of one byte; weights are 1 or 2, JSON about 10, bombs 1000
_AT_ONCE = 1 << 20  # bytes
_ODD = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")
_BROKEN = (tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError, OverflowError, RecursionError)


def unpack_model(archive: Path | str, folder: Path | str) -> None:
    """Unpack a `model.tar.gz` into a model directory, which appears when it is whole and verified.

    Trusts nothing: paths that lead elsewhere, links, devices, names that come twice, more members or bytes than a
    model has, are refused, wherever they are. Only the model's own files are written; `code/` is left out.

    Args:
        archive: the file.
        folder: the model directory to make; not there yet, or empty.

    Raises:
        UsageError: the folder has something in it.
        ModelDirectoryError: the archive is none, is hostile, or holds no whole model.
        StorageError: the folder cannot be written. Nothing is left of it.
    """
    archive, folder = expand_home(archive), expand_home(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} is there already: name another folder, or remove it")
    if not archive.is_file():
        raise ModelDirectoryError(f"no such archive: {archive}")
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=TEMPORARY_SUFFIX, dir=folder.parent))
        try:
            _unpack(archive, made)
            _verify(archive, made)
            made.chmod(0o777 & ~_umask())
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    with _refusals(archive), tempfile.TemporaryFile(dir=folder) as plain:
        _decompress(archive, plain)
        plain.seek(0)
        with tarfile.open(fileobj=cast(IO[bytes], _Careful(plain)), mode="r:") as opened:
            for member, name in _checked_members(opened):
                if name in _MODEL_FILES and member.isreg():
                    source = opened.extractfile(member)
                    assert source is not None
                    with source, (folder / name).open("wb") as file:
                        shutil.copyfileobj(source, file, _AT_ONCE)


def _decompress(archive: Path, plain: IO[bytes]) -> None:
    """Unpack gzip's part, as far as a model can be large."""
    most = min(_MOST_BYTES, max(_SMALL, _MOST_DENSE * archive.stat().st_size))
    done = 0
    with GzipFile(archive) as packed:
        while piece := packed.read(_AT_ONCE):
            done += len(piece)
            if done > most:
                raise ValueError(f"it unpacks to more than {most:,} bytes")
            plain.write(piece)


def _checked_members(opened: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The members with their names made plain, each looked at before it is given out."""
    seen: set[str] = set()
    for number, member in enumerate(opened):
        shown = repr(member.name[:80])
        if number >= _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS:,} members")
        path = PurePosixPath(member.name)
        if _ODD.search(member.name) or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the name {shown} leads elsewhere")
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise ValueError(f"{shown} is neither a file nor a folder")
        name = path.as_posix()
        if member.isreg() and name.casefold() in seen:
            raise ValueError(f"{shown} is there twice")
        seen.add(name.casefold())
        yield member, name


def _verify(archive: Path, folder: Path) -> None:
    """See that a whole model was unpacked."""
    try:
        damaged = [file for file in open_model_directory(folder).check_files() if not file.harmless]
    except ModelDirectoryError as error:
        raise ModelDirectoryError(str(error).replace(str(folder), str(archive))) from None
    if damaged:
        raise ModelDirectoryError(f"{archive}: {damaged[0].name} is {damaged[0].state}; fetch it again")


class _Careful:
    """A file that is read in pieces of bounded size: an archive's header may claim to be gigabytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _AT_ONCE:
            raise ValueError("one of its headers is larger than any header")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if not 0 <= offset <= _MOST_BYTES:
            raise ValueError("one of its members claims to be larger than any model")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextlib.contextmanager
def _refusals(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        message = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelDirectoryError(f"{archive} is not a model's archive: {message}") from None


def _umask() -> int:
    """What new folders may not allow; there is no way to ask without setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
