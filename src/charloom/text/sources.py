"""From what a user names (a file, a folder, a glob, `-`, an address, a corpus's name) to bytes, chunk by chunk."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import io
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from charloom.display import visible
from charloom.errors import CharloomError, CorpusError, MissingExtraError, UsageError
from charloom.events import Notice, Notify, Warned, ignore
from charloom.files import expand_home
from charloom.folders import holds_prepared
from charloom.text.named import BUILT_IN, DOWNLOAD_TIMEOUT, NAMED, NamedCorpus, named_corpus

_CHUNK = 1 << 20
_REMOTE = ("http", "https", "s3")
_OF_A_MODEL = ("config.json", "vocabulary.json", "model.onnx")  # not texts to learn from
_WRITTEN = (
    "README.md", "config.json", "generation_config.json", "vocabulary.json", "metrics.jsonl", "loss.svg",
    "known-items.bin", "model.safetensors", "model.onnx", "training/run.json", "corpus.json", "ids.bin",
)  # fmt: skip
_SNIFF = 8192  # a file with a zero byte in its first 8 KiB is taken for binary, as git and grep do


@dataclass(frozen=True)
class Document:
    """One file, opened when it is read.

    Attributes:
        name: what to call it in an error.
        source: what a model records of where it came from: the file's, folder's or pattern's own name, never a
            full path, which may be private.
        address: what to call it where it cannot be read.
        open: opens it.
        live: more of it may come at any time, as from a pipe.
        path: where it is, if it is a file of this machine.
    """

    name: str
    source: str
    address: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    live: bool = False
    path: Path | None = None

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """Its bytes, read from the file as needed: standard input and some addresses can be read only once.

        If it is live, an empty chunk says that the next one is not there yet.
        """
        try:
            with self.open() as file:
                if self.live:
                    yield from _chunks_as_they_come(file, size)
                while chunk := file.read(size):
                    yield chunk
        except (MemoryError, CharloomError):
            raise
        except Exception as error:  # requests, boto3 and the decompressors each raise a family of their own
            raise CorpusError(f"cannot read {self.address}: {_one_line(error)}") from error


def list_specs(named: str | Path | Sequence[str | Path]) -> list[str]:
    """One name or several, as a list.

    Raises:
        UsageError: a name is neither a string nor a path.
    """
    is_one = isinstance(named, str | bytes) or not isinstance(named, Iterable)
    several: Sequence[object] = [named] if is_one else [*named]  # type: ignore[misc]
    for one in several:
        if not isinstance(one, str | os.PathLike):
            raise UsageError(f"{one!r:.80} does not name a text: give a path, a pattern, an address or a name")
    return [str(one) for one in several]


def read_documents(specs: Iterable[str], notify: Notify) -> Iterator[Document]:
    """Everything the given corpus arguments name, in order."""
    for spec in specs:
        if spec == "-":
            yield _stdin()
        elif (named := named_corpus(spec)) is not None:
            yield _named_document(named, notify)
        elif _scheme(spec) in _REMOTE:
            yield _remote(spec)
        else:
            yield from _local(spec, notify)


def _stdin() -> Document:
    stream = sys.stdin.buffer
    try:
        live = not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # it is no file of the system
        live = False
    return Document("stdin", "stdin", "stdin", lambda: contextlib.nullcontext(stream), live)


def _chunks_as_they_come(file: BinaryIO, size: int) -> Iterator[bytes]:
    assert isinstance(file, io.BufferedReader)
    while True:
        if not _has_more(file):
            yield b""
        if not (chunk := file.read1(size)):
            return
        yield chunk


def _has_more(file: io.BufferedReader) -> bool:
    """Whether reading would not have to wait; where that cannot be found out, as of a pipe on Windows, it would not."""
    try:
        return bool(select.select([file], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def check_outside(folder: Path, specs: Iterable[str]) -> None:
    """See that what is written into a folder does not become part of the text: the next run would read it."""
    for spec in specs:
        if _takes_in(spec, folder):
            raise UsageError(f"the output {folder} is inside the corpus {spec}: choose another folder")


def _takes_in(spec: str, folder: Path) -> bool:
    if spec == "-" or named_corpus(spec) is not None or _scheme(spec) in _REMOTE:
        return False
    try:
        source = expand_home(spec)
        if source.is_dir():
            return folder.resolve().is_relative_to(source.resolve())
        pattern = [glob.escape(part) for part in source.resolve().parts] if source.exists() else source.absolute().parts
        places = [root / name for root in (folder.absolute(), folder.resolve()) for name in _WRITTEN]
        return any(_matches(place.parts, pattern) for place in places)
    except (OSError, RuntimeError, ValueError):  # what names no folder holds none
        return False


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path is among those that a pattern may find, both in parts."""
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def check_specs(specs: Iterable[str]) -> None:
    """Refuse what names no file of this machine and nothing that could be fetched; nothing is read."""
    for spec in specs:
        if spec != "-" and named_corpus(spec) is None and _scheme(spec) not in _REMOTE:
            for _ in _local(spec, ignore):
                break


def _named_document(corpus: NamedCorpus, notify: Notify) -> Document:
    content = corpus.read(notify)
    return Document(corpus.name, corpus.source, corpus.name, lambda: io.BytesIO(content))


def _scheme(spec: str) -> str:
    return spec.partition("://")[0].lower() if "://" in spec else ""


def _remote(address: str) -> Document:
    name = Path(urlsplit(address).path).name or address
    options: dict[str, Any] = {"timeout": DOWNLOAD_TIMEOUT}
    if _scheme(address) == "s3":
        _require_boto3()
        options = {}
    return Document(name, name, address, lambda: _smart_open(address, transport_params=options))


def _smart_open(address: str, **options: Any) -> AbstractContextManager[BinaryIO]:
    from smart_open import open as smart_open

    opened: AbstractContextManager[BinaryIO] = smart_open(address, "rb", **options)
    return opened


def _require_boto3() -> None:
    try:
        import boto3  # noqa: F401
    except ImportError:
        raise MissingExtraError("reading s3:// addresses", "sagemaker") from None


def _local(spec: str, notify: Notify) -> Iterator[Document]:
    path = expand_home(spec)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # too long for a name
        raise CorpusError(f"cannot read {spec[:80]!r}: {_one_line(error)}") from error
    if spec in NAMED:
        what = "folder" if is_folder else "file"
        notify(Notice(f"{spec} is your {what} of that name; {BUILT_IN}{spec} is the text that comes with charloom"))
    if is_folder:
        yield from _folder(path, notify)
    elif is_there:
        yield file_document(path, shown_name(path))
    elif glob.has_magic(spec):
        paths = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [path for path in paths if path.is_file()]
        if not files:
            raise CorpusError(f"no file matches {spec}")
        for file in files:
            yield file_document(file, shown_name(Path(spec)))
    elif "://" in spec:
        raise CorpusError(f"cannot read {spec}: an address begins with https://, http:// or s3://")
    else:
        known = ", ".join(NAMED)
        raise CorpusError(f"no such file or folder: {spec} (corpora with a name: {known})")


def _folder(folder: Path, notify: Notify) -> Iterator[Document]:
    """Every text file under a folder, in path order; hidden files, binary ones and links out of it are passed over."""
    if holds_prepared(folder):
        raise CorpusError(f"{folder} is a prepared corpus, and a text is needed here: name the text's own files")
    if all((folder / name).is_file() for name in _OF_A_MODEL):
        raise CorpusError(f"{folder} is a model directory, and a text is needed here")
    root = folder.resolve()
    binary: list[Path] = []
    elsewhere: list[Path] = []
    found, cut = False, list[Path]()
    for path in _files_under(folder):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            elsewhere.append(path)
            continue
        document = file_document(path, f"{shown_name(root)}/")
        head = next(document.chunks(_SNIFF), b"")
        if b"\0" not in head:
            found = found or bool(head)
            yield document
        elif b"\0" not in head.lstrip(b"\0"):
            cut.append(path)
            notify(Warned(f"passed over {path}: it begins with zero bytes; name it itself if it is a log"))
        else:
            binary.append(path)
    _tell_passed_over(folder, binary, "binary file", notify)
    _tell_passed_over(folder, elsewhere, "outward link", notify)
    if not found:
        example = next((f": {path.name} was passed over, name it itself" for path in [*cut, *elsewhere, *binary]), "")
        raise CorpusError(f"there is no text in the folder {folder}{example}")


def _tell_passed_over(folder: Path, paths: list[Path], what: str, notify: Notify) -> None:
    if paths:
        names = [visible(path.relative_to(folder).as_posix()) for path in paths[:3]] + ["…"] * (len(paths) > 3)
        notify(Notice(f"passed over {len(paths)} {what}{'s' * (len(paths) > 1)} in {folder}: {', '.join(names)}"))


def _files_under(folder: Path) -> Iterator[Path]:
    """In path order, a folder at a time: a million names are not held at once. Links to folders are not followed."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise CorpusError(f"cannot read {folder}: {_one_line(error)}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_under(Path(entry.path))
        elif _is_file(entry):
            yield Path(entry.path)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def file_document(path: Path, source: str) -> Document:
    """A file of this machine, unpacked if its name says that it is packed."""
    if path.suffix in (".gz", ".zst", ".bz2", ".xz"):
        return Document(shown_name(path), source, str(path), lambda: _smart_open(str(path)), path=path)
    return Document(shown_name(path), source, str(path), lambda: path.open("rb"), path=path)


def shown_name(path: Path) -> str:
    """The file's name in one line; Linux allows any bytes in it, a newline too."""
    return visible(path.name)


def _one_line(error: BaseException) -> str:
    if type(error).__name__ == "ConnectionError":  # requests' own describes its inner workings
        return "no connection; look at the address and the network"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())
