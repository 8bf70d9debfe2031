"""From the files a user names to the texts that are scored: each whole, or each of its lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from charloom.errors import UsageError
from charloom.events import DownloadProgress, Event, Notify
from charloom.runtime.scoring import LONGEST, Text
from charloom.text.decoding import check_encoding, decode_chunks
from charloom.text.lines import Line, split_lines, split_live_lines
from charloom.text.sources import Document, read_documents

Each = TypeVar("Each")

_CHUNK = 1 << 16  # bytes read at a time of each of several files, and characters of a text in memory


def several(texts: Iterable[Each]) -> Iterable[Each]:
    """The same texts, where they are several and not one.

    Raises:
        UsageError: they are not.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise UsageError(f"{texts!r:.60} is not several texts: give a list of them")
    return texts


def in_memory(text: str | None) -> Text:
    """A text that is not in a file; a missing value of a table is one without characters.

    Raises:
        UsageError: it is something else.
    """
    if _is_missing(text):
        return Text([""], whole=True)
    if not isinstance(text, str):
        raise UsageError(f"{text!r:.60} is not a text but of type {type(text).__name__}: give texts")
    return _text_in_memory(text, text[:LONGEST])


def _text_in_memory(text: str, shown: str, *, is_line: bool = False) -> Text:
    if len(text) <= LONGEST:
        return Text([text], shown, whole=True, is_line=is_line)
    return Text((text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)), shown, is_line=is_line)


def _is_missing(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ == "NAType"  # pandas.NA


def line_in_memory(text: str | None) -> Text:
    """A line that is not in a file, with its line end or without; see `in_memory`."""
    if not isinstance(text, str):
        return in_memory(text)
    return _text_in_memory(text.removesuffix("\n").removesuffix("\r"), text[:LONGEST], is_line=True)


def lines_in_memory(lines: Iterable[str | None], *, live: bool = False) -> Iterator[Text | None]:
    """Lines that are not in a file; live, after each comes a pause."""
    for line in lines:
        yield line_in_memory(line)
        if live:
            yield None


class NamedFiles:
    """The files that corpus arguments name; nothing of them is read before a text is asked for."""

    def __init__(self, specs: Sequence[str], encoding: str, notify: Notify, *, keep_bytes: bool = False) -> None:
        """Look whether everything is there.

        Args:
            specs: files, folders, globs, addresses, names, or `-`.
            encoding: how the files are encoded.
            notify: receives notices of what is passed over and fetched.
            keep_bytes: keep bytes that are not valid in the encoding, for a bytes vocabulary.
        """
        check_encoding(encoding)
        if not specs:
            raise UsageError("name a file to score, or - for standard input")
        if list(specs).count("-") > 1:
            raise UsageError("standard input can be read once: name - once")
        for spec in specs:
            next(read_documents([spec], lambda event: _downloads(event, notify)), None)
        self._specs = specs
        self._encoding = encoding
        self._notify = notify
        self._keep_bytes = keep_bytes

    def whole(self) -> Iterator[Text]:
        """Each file as one text."""
        for document in self._documents():
            yield Text(self._pieces(document), file=document.address)

    def lines(self) -> Iterator[Text]:
        """Each line of each file as a text."""
        return (text for text in self.live_lines() if text is not None)

    def live_lines(self) -> Iterator[Text | None]:
        """The same lines, and None where the next one is not there yet, as in a pipe."""
        for document in self._documents():
            number = 0
            split = split_live_lines if document.live else split_lines
            for line in split(self._pieces(document), LONGEST):
                number += line is not None
                yield None if line is None else _text_of(line, document.address, number)

    def _documents(self) -> Iterable[Document]:
        return read_documents(self._specs, self._notify)

    def _pieces(self, document: Document) -> Iterator[str]:
        chunks = document.chunks(_CHUNK)
        return decode_chunks(chunks, document.address, self._encoding, keep_bytes=self._keep_bytes)


def _downloads(event: Event, notify: Notify) -> None:
    """Only what is fetched happens once: whatever else there is to say is said when the files are read."""
    if isinstance(event, DownloadProgress):
        notify(event)


def _text_of(line: Line, file: str, number: int) -> Text:
    if line.rest is None:
        return Text([line.text], line.text[:LONGEST], file, number, whole=True, is_line=True)
    return Text(chain([line.text], line.rest), line.text[:LONGEST], file, number, is_line=True)
