"""A prepared corpus: a folder with the ids of a text of any size, read from the disk window by window.

`corpus.json` is written last, by `preparing.py`: where it is, a whole corpus is. See docs/reference/prepared-corpus.md.
The ids are an array mapped into memory, so that it can be cut and reshaped like any other; but its pages are never
touched. `load_ids` reads a part with a system call instead: a file that another program makes shorter would end the
process otherwise, and one that it writes to would be learned from unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from charloom.errors import CorpusError, ModelDirectoryError, UsageError
from charloom.files import expand_home
from charloom.folders import CORPUS_IDS, CORPUS_RECORD, holds_prepared
from charloom.settings import ReadingSettings, StepName, VocabularyKind
from charloom.text.cleaning import expand
from charloom.text.named import named_corpus
from charloom.text.splits import Segment
from charloom.text.vocabulary import Ids, Vocabulary, vocabulary_from_json
from charloom.wrong_values import explain, option_name, shorten

FORMAT_VERSION: Final = 1
RECORD: Final = CORPUS_RECORD
IDS: Final = CORPUS_IDS
VOCABULARY: Final = "vocabulary.json"
_SMALL = 1 << 20
_VOCABULARY_LIMIT = 64 << 20
_CHUNK = 1 << 20  # ids


class _MappedFile(mmap.mmap):
    """A mapped file that is open for reading as well; `facts` tell whether it has changed since it was opened."""

    path: Path
    descriptor: int
    facts: tuple[int, int]
    address: int


def map_ids(path: Path, dtype: str) -> Ids:
    """A file's ids, shape (T,); `load_ids` reads parts of them. The file must not be empty."""
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


def load_ids(ids: Ids) -> Ids:
    """The same ids in memory: read from the disk where they are part of a mapped file, else as they are."""
    file = _file_of(ids)
    if file is None or ids.size == 0:
        return ids
    if not hasattr(os, "pread"):  # Windows, where a mapped file cannot be made shorter
        return ids.copy()
    below = sum((size - 1) * stride for size, stride in zip(ids.shape, ids.strides, strict=True) if stride < 0)
    above = sum((size - 1) * stride for size, stride in zip(ids.shape, ids.strides, strict=True) if stride > 0)
    start, length = _address(ids) + below - file.address, above - below + ids.itemsize
    return np.ndarray(ids.shape, ids.dtype, _read_chunk(file, start, length), -below, ids.strides)


def _file_of(ids: Ids) -> _MappedFile | None:
    base: object = ids
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, _MappedFile) else None


def _read_chunk(file: _MappedFile, start: int, length: int) -> bytes:
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


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**48)]


class PreparedRecord(BaseModel):
    """The content of `corpus.json`. Read strictly; what a later minor version adds is passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)

    format_version: int = FORMAT_VERSION
    sources: list[str]
    characters: int = Field(ge=2, le=2**48)
    lines: Count
    unknown: Count
    sha256: Sha256 = Field(description="of the cleaned text in UTF-8")
    cleaning: list[StepName]
    encoding: str
    vocabulary: VocabularyKind
    min_count: int = Field(ge=1)
    symbols: int = Field(ge=2, le=2**48, description="ids, the opening one not counted")
    dtype: Literal["uint8", "uint16", "uint32"]
    files: dict[Literal["ids.bin", "vocabulary.json"], Sha256]

    @model_validator(mode="after")
    def _names_both_files(self) -> PreparedRecord:
        if len(self.files) != 2:
            raise ValueError(f"files must name {IDS} and {VOCABULARY}")
        return self

    @property
    def ids_bytes(self) -> int:
        """How large `ids.bin` is: the opening id and the text's."""
        return (self.symbols + 1) * np.dtype(self.dtype).itemsize

    def to_json(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class PreparedCorpus:
    """A prepared corpus whose record and vocabulary have been read and found sound.

    Attributes:
        path: its folder.
        record: what it is.
        vocabulary: what its ids mean.
    """

    def __init__(self, path: Path) -> None:
        """Open it. `verify` before its ids are trusted."""
        self.path = path
        self.record = _parse(path, _read(path, RECORD, _SMALL))
        self.vocabulary = self._read_vocabulary()
        found = _size(path / IDS)
        if found != self.record.ids_bytes:
            raise self._damaged(f"{IDS} has {found:,} bytes and must have {self.record.ids_bytes:,}")

    @cached_property
    def whole(self) -> Segment:
        """All its ids, the opening one first, left on the disk until they are looked at."""
        try:
            return Segment(map_ids(self.path / IDS, self.record.dtype))
        except (OSError, ValueError) as error:
            raise CorpusError(f"cannot read {self.path / IDS}: {error}") from error

    def verify(self) -> None:
        """Read `ids.bin` once through: its checksum, and that every id is one of the vocabulary."""
        digest, highest, ids = hashlib.sha256(), 0, self.whole.ids
        for start in range(0, len(ids), _CHUNK):
            chunk = load_ids(ids[start : start + _CHUNK])
            digest.update(chunk.tobytes())
            highest = max(highest, int(chunk.max()))
        if digest.hexdigest() != self.record.files[IDS]:
            raise self._damaged(f"the checksum of {IDS} is not the one in {RECORD}")
        if highest >= self.vocabulary.size:
            raise self._damaged(f"{IDS} holds id {highest:,} and {VOCABULARY} only {self.vocabulary.size:,}")

    def adopt(self, settings: ReadingSettings) -> dict[str, Any]:
        """How the text was read, as settings; those that were set by hand must not say otherwise."""
        record = self.record
        own = {name: getattr(record, name) for name in ("encoding", "vocabulary", "min_count")}
        own["clean"] = list(record.cleaning)
        asked = {name: getattr(settings, name) for name in own if name in settings.model_fields_set}
        if "clean" in asked:
            asked["clean"] = list(expand(asked["clean"]))
        for name, value in asked.items():
            if value != own[name]:
                option = option_name(name)
                raise UsageError(
                    f"{self.path} was prepared with {option} {_say_setting(own[name])}, not {_say_setting(value)}: "
                    f"leave {option} out, or prepare the text anew"
                )
        return own

    def _read_vocabulary(self) -> Vocabulary:
        content = _read(self.path, VOCABULARY, _VOCABULARY_LIMIT)
        if hashlib.sha256(content).hexdigest() != self.record.files[VOCABULARY]:
            raise self._damaged(f"the checksum of {VOCABULARY} is not the one in {RECORD}")
        try:
            vocabulary = vocabulary_from_json(json.loads(content))
        except (ModelDirectoryError, ValueError, RecursionError) as error:
            raise self._damaged(str(error)) from None
        counts_agree = vocabulary.kind == "bytes" or self.record.symbols == self.record.characters
        if vocabulary.kind != self.record.vocabulary or not counts_agree or vocabulary.size < 2:
            raise self._damaged(f"{VOCABULARY} and {RECORD} do not belong together")
        return vocabulary

    def _damaged(self, why: str) -> CorpusError:
        return CorpusError(f"{self.path} is damaged: {why}; prepare the text again")


def prepared_among(specs: Sequence[str]) -> PreparedCorpus | None:
    """The prepared corpus that is named, if one is."""
    folders = [folder for spec in specs if (folder := _prepared_folder(spec)) is not None]
    if not folders:
        return None
    if len(specs) > 1:
        raise UsageError(f"{folders[0]} is a prepared corpus, which must be named alone: prepare all texts together")
    return PreparedCorpus(folders[0])


def _prepared_folder(spec: str) -> Path | None:
    if named_corpus(spec) is not None:
        return None
    try:
        path = expand_home(spec)
        return path if path.is_dir() and holds_prepared(path) else None
    except (OSError, ValueError):  # no name of a folder
        return None


def _parse(path: Path, content: bytes) -> PreparedRecord:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path / RECORD} is damaged: it is not JSON ({error})") from None
    version = data.get("format_version") if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise CorpusError(
            f"{path / RECORD} is not a prepared corpus's: format_version is {shorten(version)} "
            f"(to learn from the files in the folder, name them with a glob)"
        )
    if version > FORMAT_VERSION:
        raise CorpusError(
            f"{path} has format version {shorten(version)} and this charloom reads up to {FORMAT_VERSION}: "
            f"upgrade with pip install -U charloom"
        )
    try:
        return PreparedRecord.model_validate(data)
    except ValidationError as error:
        raise CorpusError(f"{path / RECORD} is damaged: {explain(error, in_file=True)}") from None


def _read(path: Path, name: str, limit: int) -> bytes:
    size = _size(path / name)
    if size > limit:
        raise CorpusError(f"{path / name} is too large to be true: {size:,} bytes, at most {limit:,}")
    try:
        with (path / name).open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CorpusError(f"cannot read {path / name}: {error.strerror}") from error


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        raise CorpusError(
            f"{file.parent} is not a whole prepared corpus: {file.name} is missing; prepare it again"
        ) from None
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from error


def _say_setting(value: object) -> str:
    """A setting's value in the words of the command line."""
    return (",".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
