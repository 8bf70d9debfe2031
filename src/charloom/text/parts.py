"""A corpus of many files, prepared by several processes: files become parts, one after another cleaned and numbered.

A part is a run of whole files, cleaned, with the counts of its characters. It is kept in the folder until the corpus
is whole, under a name made of what it was made from; so a run that was killed continues with the parts there are.

The text is the same as that of one process. Each file ends its line, so cleaning may begin anew at each file, as long
as no step joins the lines before another one drops some. What a file adds is what cleaning makes of it after a line
that is kept: a separator and its own text, or nothing where none of its lines is kept.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO

from charloom.errors import CorpusError, UsageError
from charloom.files import atomic_write, storage_errors
from charloom.settings import ReadingSettings
from charloom.text.cleaning import STEPS, clean, clean_pieces, expand
from charloom.text.decoding import decode_chunks
from charloom.text.reading import PIECE, gather
from charloom.text.sources import Document, file_document
from charloom.text.vocabulary import CharacterCounts, Vocabulary

FOLDER = ".parts"
LONGEST = 1 << 24  # characters that cleaning may hold back: a line without an end must not fill the memory
_LEAST = 4 << 20  # bytes of files that make a part
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
        counts: how often each character occurs, by code point.
    """

    read: int
    size: int
    line_ended: bool | None
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
    made_of = [settings.encoding, settings.vocabulary, expand(settings.clean), facts]
    name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    return Part(tuple(files), folder / f"{name}.txt", folder / f"{name}.json")


class _Reading:
    """One file on its way: how much was read of it, and how it ended."""

    def __init__(self) -> None:
        self.bytes = 0
        self.line_ended: bool | None = None

    def added(self, file: str, settings: ReadingSettings) -> Iterator[str]:
        """What a file adds to a text that has begun."""
        self.line_ended = None if self.line_ended is None else True  # an empty file too begins on a line of its own
        document = file_document(Path(file), "")
        keep_bytes = settings.vocabulary == "bytes"
        decoded = decode_chunks(self._counted(document), document.name, settings.encoding, keep_bytes=keep_bytes)
        steps = expand(settings.clean)
        pieces = clean_pieces(decoded, [name for name in steps if STEPS[name].by_document], LONGEST)
        beginning = next((piece for piece in pieces if piece), None)
        if beginning is None:
            return
        body = self._without_last_line_end(chain([beginning], pieces))
        others = [name for name in steps if not STEPS[name].by_document]
        kept = clean_pieces(chain([f"{_KEPT_LINE}\n"], body), others, LONGEST)
        yield next((piece for piece in kept if piece), "")[1:]
        yield from kept

    def _counted(self, document: Document) -> Iterator[bytes]:
        for chunk in document.chunks():
            self.bytes += len(chunk)
            yield chunk

    def _without_last_line_end(self, pieces: Iterable[str]) -> Iterator[str]:
        waiting = ""
        for piece in pieces:
            whole = waiting + piece
            waiting = "\n" if whole.endswith("\n") else ""
            yield whole[: len(whole) - len(waiting)]
        self.line_ended = bool(waiting)


def make_part(part: Part, settings: ReadingSettings) -> None:
    """Clean a part's files into its text, and count its characters; its facts come last."""
    reading, counts, size = _Reading(), CharacterCounts(), 0
    with atomic_write(part.text) as output:
        for piece in gather(chain.from_iterable(reading.added(file, settings) for file in part.files)):
            encoded = piece.encode("utf-8", "surrogateescape")
            output.write(encoded)
            counts.add_encoded(piece, encoded)
            size += len(encoded)
    found = {int(code): int(counts.by_code[code]) for code in counts.by_code.nonzero()[0]}
    with atomic_write(part.facts) as output:
        output.write(json.dumps([reading.bytes, size, reading.line_ended, found]).encode())


def read_facts(part: Part) -> PartFacts:
    """What is known of a part that is whole."""
    read, size, line_ended, counts = json.loads(part.facts.read_bytes())
    return PartFacts(read, size, line_ended, {int(code): count for code, count in counts.items()})


def number_part(part: Part, skipped: int, vocabulary: Vocabulary, ids: Path, offset: int, dtype: str) -> int:
    """Write the ids of a part's text at their place in the file of all ids; how many bytes these are.

    Args:
        part: the part.
        skipped: bytes of the text at its beginning that are left out.
        vocabulary: what numbers it.
        ids: the file.
        offset: where in it, in bytes.
        dtype: of an id.
    """
    written = 0
    with storage_errors(ids), part.text.open("rb") as text, ids.open("r+b") as output:
        text.seek(skipped)
        output.seek(offset)
        for piece in codecs.iterdecode(iter(lambda: text.read(PIECE), b""), "utf-8", "surrogateescape"):
            written += output.write(vocabulary.encode(piece).astype(dtype, copy=False).tobytes())
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


def copy_into(digest: Any, file: BinaryIO, size: int) -> None:
    """Take the next `size` bytes of a file into a checksum."""
    while size > 0 and (chunk := file.read(min(size, PIECE))):
        digest.update(chunk)
        size -= len(chunk)
