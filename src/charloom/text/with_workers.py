"""The two passes over a corpus of many files, shared among several processes: read and cleaned, then numbered.

Both checksums are taken here, in the order of the text, while the others work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charloom.events import Notify, PreparationProgress
from charloom.files import storage_errors
from charloom.settings import ReadingSettings
from charloom.text import parts
from charloom.text.parts import Part, PartFacts, Place, Task, Workers
from charloom.text.reading import CorpusReader
from charloom.text.sources import Document, read_documents
from charloom.text.vocabulary import CharacterCounts, Vocabulary


@dataclass
class CleanedText:
    """What the first pass learns of the cleaned text."""

    counts: CharacterCounts
    sha256: str
    bytes: int
    lines: int


@dataclass
class EncodedText:
    """What the second pass wrote."""

    sha256: str
    symbols: int
    dtype: str


class PartedText:
    """A text in parts. Use as a context manager, and read it before it is numbered."""

    def __init__(
        self,
        reader: CorpusReader,
        specs: Sequence[str],
        folder: Path,
        settings: ReadingSettings,
        workers: int,
        notify: Notify,
    ) -> None:
        """Nothing is read yet.

        Args:
            reader: where the sources and the bytes read are recorded.
            specs: the corpus arguments.
            folder: the corpus's.
            settings: how to read the text.
            workers: how many processes.
            notify: receives the progress.
        """
        parts.check_cleaning(settings)
        self._reader, self._specs, self._settings, self._notify = reader, specs, settings, notify
        self._folder = folder / parts.FOLDER
        self._workers = Workers(workers)
        self._made: list[tuple[Part, int, int, int]] = []  # with bytes to skip, characters and bytes of the rest
        self._end = ""

    def __enter__(self) -> PartedText:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def read(self) -> CleanedText:
        """Clean the text and count its characters.

        Raises:
            CorpusError: it cannot be read, or nothing is left of it.
        """
        with storage_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
        counts, digest, line_ended = CharacterCounts(), hashlib.sha256(), None
        planned = parts.plan_parts(self._documents(), self._settings, self._folder)
        for part, made in self._workers.in_turn((part, self._task(part)) for part in planned):
            facts = parts.read_facts(part) if made is None else made
            if facts.line_ended is not None or line_ended is not None:
                line_ended = facts.line_ended is not False
            self._take(part, facts, counts, digest)
            self._reader.bytes += facts.read
            self._reader.gutenberg = self._reader.gutenberg or facts.gutenberg
            self._notify(PreparationProgress("reading", self._reader.bytes, None))
        if line_ended is None:
            raise self._reader.nothing_to_read()
        if line_ended and self._made:
            self._end = parts.end_of_text(self._settings)
            counts.add(self._end)
            digest.update(self._end.encode())
        size = sum(rest for *_, rest in self._made) + len(self._end)
        if not size:
            raise self._reader.nothing_is_left()
        lines = int(counts.by_code[ord("\n")]) + (self._last_character() != "\n")
        return CleanedText(counts, digest.hexdigest(), size, lines)

    def number(self, vocabulary: Vocabulary, file: BinaryIO) -> EncodedText:
        """Write the ids of the text: the opening one first.

        Raises:
            StorageError: they cannot be written.
        """
        dtype = vocabulary.encode("\n").dtype.newbyteorder("<")
        opening, end = (np.array(ids).astype(dtype) for ids in ([vocabulary.opening_id], vocabulary.encode(self._end)))
        in_bytes = vocabulary.kind == "bytes"
        symbols = sum(size if in_bytes else characters for _, _, characters, size in self._made) + len(end)
        file.truncate((symbols + 1) * dtype.itemsize)
        file.write(opening.tobytes())
        file.flush()
        digest, total, path = hashlib.sha256(opening.tobytes()), symbols * dtype.itemsize, Path(file.name)
        tasks, offset = list[tuple[Part, Task | None]](), dtype.itemsize
        for part, skipped, characters, size in self._made:
            length = (size if in_bytes else characters) * dtype.itemsize
            place = Place(path, offset, length, dtype.str)
            tasks.append((part, (parts.number_part, part, skipped, vocabulary, place)))
            offset += length
        for _, written in self._workers.in_turn(tasks):
            parts.copy_into(digest, file, written)
            self._notify(PreparationProgress("encoding", file.tell(), total))
        file.seek(offset)
        file.write(end.tobytes())
        digest.update(end.tobytes())
        return EncodedText(digest.hexdigest(), symbols, dtype.name)

    def _documents(self) -> Iterator[Document]:
        for document in read_documents(self._specs, self._notify):
            self._reader.remember(document)
            yield document

    def _task(self, part: Part) -> Task | None:
        return None if parts.is_whole(part) else (parts.make_part, part, self._settings)

    def _take(self, part: Part, facts: PartFacts, counts: CharacterCounts, digest: hashlib._Hash) -> None:
        """Add a part to the text; of the first, the separator before it is left out."""
        if not facts.size:
            return
        with storage_errors(part.text), part.text.open("rb") as file:
            separator = b"" if self._made else file.read(1)
            parts.copy_into(digest, file, facts.size - len(separator))
        for code, count in facts.counts.items():
            counts.by_code[code] += count
        for code in separator:
            counts.by_code[code] -= 1
        skipped = len(separator)
        self._made.append((part, skipped, facts.characters - skipped, facts.size - skipped))

    def _last_character(self) -> str:
        if self._end:
            return self._end
        part, skipped, _, size = next(each for each in reversed(self._made) if each[3])
        with part.text.open("rb") as file:
            file.seek(skipped + size - 1)
            return "\n" if file.read(1) == b"\n" else ""
