"""From what a user names (a file, a folder, a glob, `-`, an address, a corpus's name) to bytes."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from charloom.errors import CorpusError, MissingExtraError
from charloom.events import Notice, Notify
from charloom.text.named import DOWNLOAD_TIMEOUT, NAMED

_REMOTE = ("http", "https", "s3")
_SNIFF = 8192  # a file with a zero byte in its first 8 KiB is taken for binary, as git and grep do


@dataclass(frozen=True)
class Document:
    """One file's content.

    Attributes:
        name: what to call it in an error.
        content: its bytes.
        source: what a model records of where it came from: the file's, folder's or pattern's own name, never a
            full path, which is nobody's business.
    """

    name: str
    content: bytes
    source: str


def read_documents(specs: Iterable[str], notify: Notify) -> Iterator[Document]:
    """Everything the given corpus arguments name, in order.

    Raises:
        CorpusError: something is not there, cannot be read, or names no text.
    """
    for spec in specs:
        if spec == "-":
            yield Document("stdin", sys.stdin.buffer.read(), "stdin")
        elif spec in NAMED:
            yield Document(spec, NAMED[spec].read(notify), NAMED[spec].source)
        elif _scheme(spec) in _REMOTE:
            yield _read_remote(spec)
        else:
            yield from _read_local(spec, notify)


def _scheme(spec: str) -> str:
    return spec.partition("://")[0].lower() if "://" in spec else ""


def _read_remote(address: str) -> Document:
    name = Path(urlsplit(address).path).name or address
    scheme = _scheme(address)
    if scheme == "s3":
        _require_boto3()
    try:
        from smart_open import open as smart_open

        options = {} if scheme == "s3" else {"timeout": DOWNLOAD_TIMEOUT}
        with smart_open(address, "rb", transport_params=options) as file:
            return Document(name, file.read(), name)
    except MemoryError:
        raise
    except Exception as error:  # requests, boto3 and the decompressors each raise a family of their own
        raise CorpusError(f"cannot read {address}: {_one_line(error)}") from error


def _require_boto3() -> None:
    try:
        import boto3  # noqa: F401
    except ImportError:
        raise MissingExtraError("reading s3:// addresses", "sagemaker") from None


def _read_local(spec: str, notify: Notify) -> Iterator[Document]:
    try:
        path = Path(spec).expanduser()
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # too long for a name, or the home folder of nobody
        raise CorpusError(f"cannot read {spec[:80]!r}: {_one_line(error)}") from error
    if is_folder:
        yield from _read_folder(path, notify)
    elif is_there:
        yield _read_file(path, shown_name(path))
    elif glob.has_magic(spec):
        paths = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [path for path in paths if path.is_file()]
        if not files:
            raise CorpusError(f"no file matches {spec}")
        for file in files:
            yield _read_file(file, shown_name(Path(spec)))
    else:
        known = ", ".join(NAMED)
        raise CorpusError(f"no such file or folder: {spec} (corpora with a name: {known})")


def _read_folder(folder: Path, notify: Notify) -> Iterator[Document]:
    """Every text file under a folder, in path order; hidden files and binary ones are passed over."""
    skipped: list[str] = []
    found = False
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        document = _read_file(path, f"{shown_name(folder.resolve())}/")
        if b"\0" in document.content[:_SNIFF]:
            skipped.append(inside.as_posix())
            continue
        found = found or bool(document.content)
        yield document
    if skipped:
        shown = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
        notify(Notice(f"passed over {len(skipped)} binary file(s) in {folder}: {shown}"))
    if not found:
        raise CorpusError(f"there is no text in the folder {folder}")


def _read_file(path: Path, source: str) -> Document:
    try:
        if path.suffix not in (".gz", ".zst", ".bz2", ".xz"):
            return Document(shown_name(path), path.read_bytes(), source)
        from smart_open import open as smart_open

        with smart_open(str(path), "rb") as file:
            return Document(shown_name(path), file.read(), source)
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises whatever its decompressor does
        raise CorpusError(f"cannot read {path}: {_one_line(error)}") from error


def shown_name(path: Path) -> str:
    """The file's name; what is not Unicode in it (Linux allows any bytes) becomes question marks."""
    return path.name.encode("utf-8", "replace").decode()


def _one_line(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())
