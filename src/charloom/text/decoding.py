"""Bytes to text: strict, with the exact place of an error; byte-order marks and line ends normalized.

Bytes come in chunks, cut anywhere; the text is the same as if they came at once.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from charloom.errors import CorpusError, UsageError

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKS = {"utf-16": _UTF_16_MARKS, "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}
_LONGEST_MARK = 4
_NEWLINE = ord("\n")
_DOMAIN_NAMES = ("idna", "punycode")  # Python counts these among the text encodings


def check_encoding(encoding: str) -> None:
    """Refuse a name that is not a text encoding."""
    try:
        "a".encode(encoding)
        known = codecs.lookup(encoding).name not in _DOMAIN_NAMES
    except (LookupError, ValueError, TypeError):
        known = False
    if not known:
        raise UsageError(f"encoding = {encoding!r}: no such text encoding; try utf-8, utf-16, latin-1 or cp1252")


def decode(data: bytes, name: str, encoding: str = "utf-8", *, keep_bytes: bool = False) -> str:
    """Decode a whole file's content; see `decode_chunks`."""
    return "".join(decode_chunks([data], name, encoding, keep_bytes=keep_bytes))


def decode_chunks(
    chunks: Iterable[bytes], name: str, encoding: str = "utf-8", *, keep_bytes: bool = False
) -> Iterator[str]:
    """Decode a file's content and normalize it: no byte-order mark, every line end a single newline.

    Args:
        chunks: the content.
        name: what to call it in an error.
        encoding: how it is encoded.
        keep_bytes: keep bytes that are not valid as lone surrogates, so that a bytes vocabulary can
            give them back (PEP 383's `surrogateescape`).
    """
    head, rest = _peek(iter(chunks), _LONGEST_MARK)
    decoder = _Decoder(head, name, encoding, keep_bytes)
    for chunk in chain([head], rest):
        yield decoder.push(chunk, final=False)
    yield decoder.push(b"", final=True)


def _peek(chunks: Iterator[bytes], least: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, `least` of them unless there are fewer or a line ends at a pause, and the chunks that follow."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= least:
            break
        if not chunk and head.endswith(b"\n"):
            return head, chain([chunk], chunks)
    return head, chunks


class _Decoder:
    """Decodes one file's chunks and knows where in the file it is."""

    def __init__(self, head: bytes, name: str, encoding: str, keep_bytes: bool) -> None:
        self._name = name
        self._encoding = encoding
        self._guess = "utf-16" if head.startswith(_UTF_16_MARKS) else "latin-1"
        decoder = codecs.getincrementaldecoder(_with_byte_order(encoding, head))
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=True)
        self._errors = "surrogateescape" if keep_bytes else "strict"
        self._decoder = decoder(self._errors)
        self._may_halve = self._may_differ = codecs.lookup(encoding).name != "utf-8"
        self._bytes = 0
        self._newlines = 0
        self._characters = 0

    def push(self, chunk: bytes, *, final: bool) -> str:
        self._bytes += len(chunk)
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise CorpusError(self._explain(error, chunk)) from None
        if self._may_halve:
            self._refuse_surrogates(text)
        whole = text.removeprefix("\ufeff") if self._characters == 0 else text
        self._characters += len(text)
        normal = self._line_ends.decode(whole, final)
        self._newlines += self._count_newlines(chunk, normal)
        return normal

    def _count_newlines(self, chunk: bytes, text: str) -> int:
        """How many lines end in the text; in UTF-8 without carriage returns the bytes tell it sooner."""
        self._may_differ = self._may_differ or b"\r" in chunk
        if self._may_differ:
            return text.count("\n")
        return int(np.count_nonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE))

    def _refuse_surrogates(self, text: str) -> None:
        """UTF-7 and its like can name halves of a character, which no text in Unicode may hold."""
        try:
            text.encode("utf-8", self._errors)
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{self._name}, read as {self._encoding.upper()}, holds half a character (a lone surrogate) at "
                f"{self._characters + error.start:,}: say another --encoding"
            ) from None

    def _explain(self, error: UnicodeDecodeError, chunk: bytes) -> str:
        # What the decoder looked at ends where the last chunk ends, and begins with what it had held back.
        offset = self._bytes - len(error.object) + error.start
        valid = chunk[: max(0, error.start - (len(error.object) - len(chunk)))]
        line = self._newlines + self._line_ends.decode(self._decoder.decode(valid), True).count("\n") + 1
        return (
            f"{self._name} is not {self._encoding.upper()}: byte 0x{error.object[error.start]:02X} at offset "
            f"{offset:,} (line {line:,}); save it as {self._encoding.upper()}, or say how it is encoded, for example "
            f"--encoding {self._guess}; --vocabulary bytes trains on any bytes"
        )


def _with_byte_order(encoding: str, head: bytes) -> str:
    """The encoding itself; where it leaves the order of bytes to a mark that lacks, with this machine's order."""
    name = codecs.lookup(encoding).name
    if name in _MARKS and not head.startswith(_MARKS[name]):
        return f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"
    return encoding
