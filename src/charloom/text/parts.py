"""A corpus of many files, prepared by several processes: files become parts, one after another cleaned and numbered.

A part is a run of whole files, cleaned, with the counts of its characters. It is kept in the folder until the corpus
is whole, under a name made of what it was made from; so a run that was killed continues with the parts there are.

The text is the same as that of one process. Each file ends its line, so cleaning may begin anew at each file, as long
as no step joins the lines before another one drops some. What a file adds is what cleaning makes of it after a line
that is kept: a separator and its own text, or nothing where none of its lines is kept.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO

from charloom.errors import CorpusError, UsageError
from charloom.files import atomic_write, storage_errors
from charloom.settings import ReadingSettings
from charloom.text.cleaning import STEPS, clean, clean_pieces, expand
from charloom.text.decoding import decode_chunks
from charloom.text.gutenberg import GutenbergMarks
from charloom.text.reading import PIECE, gather
from charloom.text.sources import Document, file_document
from charloom.text.vocabulary import CharacterCounts, Vocabulary

FOLDER = ".parts"
LONGEST = 1 << 24  # characters that cleaning may hold back: a line without an end must not fill the memory
_LEAST = 4 << 20  # bytes of files that make a part
_FACTS_VERSION = 2  # of what is kept of a part
_HASHED = 1 << 18  # bytes that are taken into a checksum at a time
_KEPT_LINE = "x"  # a line that every step keeps as it is

Task = tuple[Any, ...]
"""A function for another process, and its arguments."""


@dataclass(frozen=True)
class Part:
    """Some files, and where what is made of them is kept.

    Attributes:
        files: their paths.
        text: the file of their cleaned text in UTF-8.
        facts: the file of what is known of it; where that is, the part is whole.
    """

    files: tuple[str, ...]
    text: Path
    facts: Path


@dataclass(frozen=True)
class PartFacts:
    """What is known of a part.

    Attributes:
        read: the bytes of its files.
        size: the bytes of its text.
        line_ended: whether its last line has an end, or gets one from an empty file; None: there is no text.
        gutenberg: the first of its files from which header and licence of Project Gutenberg were not left out.
        counts: how often each character occurs, by code point.
    """

    read: int
    size: int
    line_ended: bool | None
    gutenberg: str | None
    counts: dict[int, int]

    @property
    def characters(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


def check_cleaning(settings: ReadingSettings) -> None:
    """Refuse an order of steps that needs the whole text at once.

    Raises:
        UsageError: lines are dropped after all have been joined.
    """
    steps = expand(settings.clean)
    joined = steps.index("join-lines") if "join-lines" in steps else len(steps)
    if any(step.startswith("drop-") for step in steps[joined:]):
        raise UsageError("--workers cannot drop lines after join-lines: name join-lines last, or leave --workers out")


def end_of_text(settings: ReadingSettings) -> str:
    """What the line end of the last file becomes."""
    return clean(f"{_KEPT_LINE}\n", settings.clean)[1:]


def plan_parts(documents: Iterable[Document], settings: ReadingSettings, folder: Path) -> Iterator[Part]:
    """The parts, each of files that follow one another.

    Raises:
        UsageError: a document is not a file of this machine.
    """
    files, facts, size = list[str](), list[tuple[str, int, int]](), 0
    for document in documents:
        if document.path is None:
            raise UsageError(f"--workers is for files of this machine, not {document.name}: leave it out")
        try:
            found = document.path.stat()
        except OSError as error:
            raise CorpusError(f"cannot read {document.path}: {error.strerror}") from error
        files.append(str(document.path))
        facts.append((str(document.path.absolute()), found.st_size, found.st_mtime_ns))
        size += found.st_size
        if size >= _LEAST:
            yield _part(files, facts, settings, folder)
            files, facts, size = [], [], 0
    if files:
        yield _part(files, facts, settings, folder)


def _part(files: list[str], facts: list[tuple[str, int, int]], settings: ReadingSettings, folder: Path) -> Part:
    made_of = [_FACTS_VERSION, settings.encoding, settings.vocabulary, expand(settings.clean), facts]
    name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    return Part(tuple(files), folder / f"{name}.txt", folder / f"{name}.json")


class _Reading:
    """A part's files on their way: how much was read of them, how the last one ended, what is in them."""

    def __init__(self, settings: ReadingSettings) -> None:
        self.bytes = 0
        self.line_ended: bool | None = None
        self.gutenberg: str | None = None
        self._settings = settings
        steps = expand(settings.clean)
        self._steps_of_each = [name for name in steps if STEPS[name].by_document]
        self._steps_of_all = [name for name in steps if not STEPS[name].by_document]

    def added(self, file: str) -> Iterator[str]:
        """What a file adds to a text that has begun."""
        self.line_ended = None if self.line_ended is None else True  # an empty file too begins on a line of its own
        document, marks = file_document(Path(file), ""), GutenbergMarks()
        pieces = marks.watch(clean_pieces(self._decoded(document), self._steps_of_each, LONGEST))
        beginning = next((piece for piece in pieces if piece), None)
        if beginning is None:
            return
        body = self._without_last_line_end(chain([beginning], pieces))
        kept = clean_pieces(chain([f"{_KEPT_LINE}\n"], body), self._steps_of_all, LONGEST)
        yield next((piece for piece in kept if piece), "")[1:]
        yield from kept
        if marks.found and self.gutenberg is None:
            self.gutenberg = document.name

    def _decoded(self, document: Document) -> Iterator[str]:
        keep_bytes = self._settings.vocabulary == "bytes"
        return decode_chunks(self._counted(document), document.name, self._settings.encoding, keep_bytes=keep_bytes)

    def _counted(self, document: Document) -> Iterator[bytes]:
        for chunk in document.chunks():
            self.bytes += len(chunk)
            yield chunk

    def _without_last_line_end(self, pieces: Iterable[str]) -> Iterator[str]:
        self.line_ended = False
        for piece in pieces:
            if self.line_ended and piece:
                yield "\n"
                self.line_ended = False
            if piece.endswith("\n"):
                self.line_ended = True
                yield piece[:-1]
            else:
                yield piece


def make_part(part: Part, settings: ReadingSettings) -> PartFacts:
    """Clean a part's files into its text, and count its characters.

    Another thread brings the part to the disk and keeps its facts, while this one goes on: at most one at a time.
    """
    reading, counts, size = _Reading(settings), CharacterCounts(), 0
    with atomic_write(part.text, flush=False) as output:
        for piece in gather(chain.from_iterable(map(reading.added, part.files))):
            encoded = piece.encode("utf-8", "surrogateescape")
            output.write(encoded)
            counts.add_encoded(piece, encoded)
            size += len(encoded)
    found = {int(code): int(counts.by_code[code]) for code in counts.by_code.nonzero()[0]}
    facts = PartFacts(reading.bytes, size, reading.line_ended, reading.gutenberg, found)
    _disk.wait()
    _disk.begin(part, facts)
    return facts


class _Disk:
    """Brings parts to the disk, one after another, beside other work."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None

    def begin(self, part: Part, facts: PartFacts) -> None:
        self._under_way = self._thread.submit(_keep, part, facts)

    def wait(self) -> None:
        """Wait for what is under way; its error is raised here."""
        if self._under_way is not None:
            self._under_way.result()


_disk = _Disk()


def _keep(part: Part, facts: PartFacts) -> None:
    with storage_errors(part.text), part.text.open("ab") as text:
        os.fsync(text.fileno())
    with atomic_write(part.facts) as output:
        output.write(json.dumps(asdict(facts)).encode())


def read_facts(part: Part) -> PartFacts:
    """What is known of a part that is whole."""
    facts = json.loads(part.facts.read_bytes())
    return PartFacts(**facts | {"counts": {int(code): count for code, count in facts["counts"].items()}})


def is_whole(part: Part) -> bool:
    """Whether a part was made already, and is as it was."""
    try:
        return part.text.stat().st_size == read_facts(part).size
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Place:
    """Where the ids of a part go.

    Attributes:
        file: the file of all ids.
        offset: where in it, in bytes.
        length: how many bytes they are.
        dtype: of an id.
    """

    file: Path
    offset: int
    length: int
    dtype: str


def number_part(part: Part, skipped: int, vocabulary: Vocabulary, place: Place) -> int:
    """Write the ids of a part's text, without its first `skipped` bytes, to their place; how many bytes these are.

    Raises:
        CorpusError: there are more or fewer.
    """
    _disk.wait()
    written = 0
    with storage_errors(place.file), part.text.open("rb") as text, place.file.open("r+b") as output:
        text.seek(skipped)
        output.seek(place.offset)
        for ids in vocabulary.encode_chunks(iter(lambda: text.read(PIECE), b"")):
            written += output.write(ids.astype(place.dtype, copy=False).data)
    if written != place.length:
        raise CorpusError(f"{part.text} was changed by another program: run the same command again")
    return written


class Workers:
    """Processes that work on parts. Use as a context manager."""

    def __init__(self, count: int) -> None:
        """Start them when they are needed."""
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def in_turn(self, tasks: Iterable[tuple[Part, Task | None]]) -> Iterator[tuple[Part, Any]]:
        """Do what there is to do for each part (None: nothing); each part with what came of it, in their order.

        A few parts are under way at a time, so that memory does not grow with them.

        Raises:
            CorpusError: the system ended one of the processes.
        """
        waiting: deque[tuple[Part, Future[Any] | None]] = deque()
        try:
            for part, task in tasks:
                waiting.append((part, None if task is None else self._pool.submit(*task)))
                if len(waiting) > 4 * self._count:
                    yield _ended(*waiting.popleft())
            while waiting:
                yield _ended(*waiting.popleft())
        except BrokenProcessPool:
            raise CorpusError(
                "a worker was ended, perhaps for want of memory: run the same command again, with fewer --workers; "
                "finished files are kept"
            ) from None


def _ended(part: Part, work: Future[Any] | None) -> tuple[Part, Any]:
    return part, None if work is None else work.result()


def _begin_worker() -> None:
    """Leave Ctrl-C to the main process, and end when that ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def remove_parts(folder: Path) -> None:
    """Remove all parts from a corpus's folder; the corpus is whole without them."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def copy_into(digest: hashlib._Hash, file: BinaryIO, size: int) -> None:
    """Take the next `size` bytes of a file into a checksum.

    Raises:
        CorpusError: the file has fewer.
    """
    buffer = memoryview(bytearray(min(size, _HASHED)))
    while size:
        read = file.readinto(buffer[:size])  # type: ignore[attr-defined]  # every file has it
        if not read:
            raise CorpusError(f"{file.name} was changed by another program: run the same command again")
        digest.update(buffer[:read])
        size -= read
