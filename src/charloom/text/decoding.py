"""Bytes to text: strict, with the exact place of an error; byte-order marks and line ends normalized."""

from __future__ import annotations

import codecs

from charloom.errors import CorpusError, UsageError


def check_encoding(encoding: str) -> None:
    """Refuse a name that is not a text encoding.

    Raises:
        UsageError: Python knows no such text encoding.
    """
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):
        raise UsageError(
            f"encoding = {encoding!r}: no such text encoding; try utf-8, utf-16, latin-1 or cp1252"
        ) from None


def decode(data: bytes, name: str, encoding: str = "utf-8", *, keep_bytes: bool = False) -> str:
    """Decode a file's content and normalize it: no byte-order mark, every line end a single newline.

    Args:
        data: the content.
        name: what to call it in an error.
        encoding: how it is encoded.
        keep_bytes: keep bytes that are not valid as lone surrogates, so that a bytes vocabulary can
            give them back (PEP 383's `surrogateescape`).

    Raises:
        CorpusError: not valid in this encoding; the message names file, byte, offset and line.
    """
    try:
        text = data.decode(encoding, "surrogateescape" if keep_bytes else "strict")
    except UnicodeDecodeError as error:
        raise CorpusError(_explain(data, name, encoding, error)) from None
    if not keep_bytes and codecs.lookup(encoding).name != "utf-8":
        _refuse_surrogates(text, name, encoding)
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _refuse_surrogates(text: str, name: str, encoding: str) -> None:
    """UTF-7 and its like can name halves of a character, which no text in Unicode may hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{name}, read as {encoding.upper()}, holds half a character (a lone surrogate) at {error.start:,}: "
            f"say another --encoding"
        ) from None


def _explain(data: bytes, name: str, encoding: str, error: UnicodeDecodeError) -> str:
    line = data.count(b"\n", 0, error.start) + 1
    guess = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "latin-1"
    return (
        f"{name} is not {encoding.upper()}: byte 0x{data[error.start]:02X} at offset {error.start:,} "
        f"(line {line:,}); say how it is encoded, for example --encoding {guess}, "
        f"or read any bytes with --vocabulary bytes"
    )
