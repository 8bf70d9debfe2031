"""Archives whose bytes depend on nothing but what is in them, so that unchanged ones are not sent again."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from charloom.files import atomic_write

_LEVEL = 6
_ALWAYS = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
_READABLE = 0o100644 << 16


def write_archive(path: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a `.tar.gz` of files under their names, in the order of the names; it appears when it is whole.

    Raises:
        StorageError: a file cannot be read, or the archive not be written.
    """
    with (
        atomic_write(path) as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(members):
            _add(archive, name, members[name])


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip of contents under their names, in the order they are given; it appears when it is whole.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _ALWAYS)
            member.external_attr = _READABLE
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    member = tarfile.TarInfo(name)  # its time, owner and group are 0
    member.mode = 0o644
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
        member.size = source.seek(0, io.SEEK_END)
        source.seek(0)
        archive.addfile(member, source)


def files_under(folder: Path, prefix: str = "") -> dict[str, Path]:
    """A folder's files by their names in an archive."""
    return {prefix + path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
