"""Characters to integers and back.

`CharacterVocabulary` numbers the Unicode characters of a corpus; id 0 is the unknown character, which is
never generated. `ByteVocabulary` is the 256 bytes of UTF-8: any script, nothing unknown.

Encoding is vectorized: a table looked up by code point, no Python loop over characters.
"""

from __future__ import annotations

import codecs
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import ModelDirectoryError

Ids = NDArray[np.integer[Any]]
"""Integer ids of any width; an encoded corpus uses the narrowest that holds the vocabulary."""

UNKNOWN_ID: Final = 0
UNKNOWN_TEXT: Final = "\N{REPLACEMENT CHARACTER}"
_CHUNK: Final = 1 << 16  # characters encoded at a time: bounds the temporary arrays, and most pieces are ASCII alone
_ASCII: Final = 0x80  # code points below it; in UTF-8 they are single bytes, and no other character has such bytes


Decode = Callable[[int], str]
"""From each id of a text in turn to the text that it completes; empty while a character is still partial."""


class Vocabulary(ABC):
    """What the model's ids mean."""

    kind: ClassVar[str]
    unknown_id: ClassVar[int | None]

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of ids V, the unknown character's included."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of a text, shape (T,)."""

    @abstractmethod
    def encode_chunks(self, chunks: Iterable[bytes]) -> Iterator[Ids]:
        """The ids of a text that comes in UTF-8, in chunks cut anywhere."""

    @abstractmethod
    def decode(self, ids: Ids) -> str:
        """The text of ids, shape (T,)."""

    @abstractmethod
    def text_of(self, token: int) -> str:
        """The character of one id; empty for a byte that is not a character by itself."""

    @abstractmethod
    def decoder(self) -> Decode:
        """What decodes a text id by id, from its beginning."""

    @abstractmethod
    def unknown_characters(self, text: str) -> list[str]:
        """The distinct characters of `text` that have no id of their own, sorted."""

    @abstractmethod
    def characters_and_bytes(self, ids: Ids) -> tuple[int, int | None]:
        """How many characters and UTF-8 bytes the ids stand for; bytes are None where some are unknown."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """The content of `vocabulary.json`."""

    @property
    def opening_id(self) -> int:
        """What is read before a text that has nothing before it: a newline, else a space, else the unknown.

        A text is modelled as if a line had just ended, so its first character has a probability too.
        """
        ids = self.encode("\n ")
        known = ids[ids != self.unknown_id] if self.unknown_id is not None else ids
        return int(known[0]) if len(known) else UNKNOWN_ID


class CharacterCounts:
    """How often each character occurs in a text that may come in pieces.

    Attributes:
        by_code: the counts, by code point.
    """

    def __init__(self) -> None:
        self.by_code: NDArray[np.int64] = np.zeros(sys.maxunicode + 1, dtype=np.int64)

    def add(self, text: str) -> None:
        """Count a text's characters."""
        for start in range(0, len(text), _CHUNK):
            part = text[start : start + _CHUNK]
            self.add_encoded(part, part.encode("utf-8", "surrogatepass"))

    def add_encoded(self, text: str, utf8: bytes) -> None:
        """Count a text's characters, given it in UTF-8 as well, however that escapes lone surrogates."""
        self.by_code[:_ASCII] += _byte_counts(utf8)[:_ASCII]
        if not text.isascii():
            codes = _code_points(text)
            found = np.bincount(codes[codes >= _ASCII])
            self.by_code[: len(found)] += found

    @property
    def total(self) -> int:
        """Characters counted."""
        return int(self.by_code.sum())

    @property
    def distinct(self) -> list[str]:
        """The characters that occur, in code-point order."""
        return [chr(code) for code in np.flatnonzero(self.by_code)]


class CharacterVocabulary(Vocabulary):
    """Unicode characters in code-point order, ids from 1; id 0 is the unknown character."""

    kind = "characters"
    unknown_id = UNKNOWN_ID

    def __init__(self, characters: Iterable[str]) -> None:
        """Number `characters` from 1, in the order given; each is one distinct Unicode character.

        Raises:
            ValueError: one comes twice.
        """
        self.characters: tuple[str, ...] = tuple(characters)
        self._texts = (UNKNOWN_TEXT, *self.characters)
        codes = np.array([ord(character) for character in self.characters], dtype=np.uint32)
        if len(set(self.characters)) != len(codes):
            raise ValueError("a vocabulary names each character once")
        self._dtype = np.min_scalar_type(len(codes))
        self._codes = np.concatenate([np.array([ord(UNKNOWN_TEXT)], dtype=np.uint32), codes])
        # One entry more than the highest code point: everything above it is clipped there, to unknown.
        self._table = np.zeros(int(codes.max(initial=0)) + 2, dtype=self._dtype)
        self._table[codes] = np.arange(1, len(codes) + 1)
        self._ascii_table: bytes | None = None
        if self._dtype == np.uint8:
            padded = np.zeros(256, dtype=np.uint8)
            padded[: min(256, len(self._table))] = self._table[:256]
            self._ascii_table = padded.tobytes()

    @classmethod
    def from_text(cls, text: str, min_count: int = 1) -> CharacterVocabulary:
        """The characters that `text` holds at least `min_count` times."""
        counts = CharacterCounts()
        counts.add(text)
        return cls.from_counts(counts, min_count)

    @classmethod
    def from_counts(cls, counts: CharacterCounts, min_count: int = 1) -> CharacterVocabulary:
        """The characters that were counted at least `min_count` times."""
        return cls(chr(code) for code in np.flatnonzero(counts.by_code >= min_count))

    @property
    def size(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> Ids:
        if self._ascii_table is not None and text.isascii():
            return self._encode_ascii(text.encode("ascii"), self._ascii_table)
        ids: Ids = np.empty(len(text), dtype=self._dtype)
        for start in range(0, len(text), _CHUNK):
            piece = text[start : start + _CHUNK]
            if self._ascii_table is not None and piece.isascii():
                ids[start : start + _CHUNK] = self._encode_ascii(piece.encode("ascii"), self._ascii_table)
            else:
                ids[start : start + _CHUNK] = np.take(self._table, _code_points(piece), mode="clip")
        return ids

    def encode_chunks(self, chunks: Iterable[bytes]) -> Iterator[Ids]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for chunk in chunks:
            if self._ascii_table is not None and chunk.isascii():  # so nothing is left of the chunk before
                yield self._encode_ascii(chunk, self._ascii_table)
            else:
                yield self.encode(decoder.decode(chunk))

    @staticmethod
    def _encode_ascii(text: bytes, table: bytes) -> Ids:
        return np.frombuffer(text.translate(table), dtype=np.uint8)

    def decode(self, ids: Ids) -> str:
        return self._codes[ids].astype("<u4").tobytes().decode("utf-32-le")

    def text_of(self, token: int) -> str:
        return self._texts[token]

    def decoder(self) -> Decode:
        return self._texts.__getitem__

    def unknown_characters(self, text: str) -> list[str]:
        return sorted(set(text) - set(self.characters))

    def characters_and_bytes(self, ids: Ids) -> tuple[int, int | None]:
        if np.any(ids == UNKNOWN_ID):
            return len(ids), None
        widths = 1 + (self._codes >= 0x80).astype(np.int64) + (self._codes >= 0x800) + (self._codes >= 0x10000)
        return len(ids), int(widths[ids].sum())

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "characters": [None, *self.characters]}


class ByteVocabulary(Vocabulary):
    """The 256 bytes: a text is its UTF-8, so every script is known."""

    kind = "bytes"
    unknown_id = None

    @property
    def size(self) -> int:
        return 256

    def encode(self, text: str) -> Ids:
        return np.frombuffer(self._to_bytes(text), dtype=np.uint8)

    def encode_chunks(self, chunks: Iterable[bytes]) -> Iterator[Ids]:
        return (np.frombuffer(chunk, dtype=np.uint8) for chunk in chunks)

    @staticmethod
    def _to_bytes(text: str) -> bytes:
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a lone surrogate without a byte, as in a damaged JSON string
            return text.encode("utf-8", "replace")

    def decode(self, ids: Ids) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def text_of(self, token: int) -> str:
        return chr(token) if token < _ASCII else ""

    def decoder(self) -> Decode:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token: decoder.decode(bytes([token]))

    def unknown_characters(self, text: str) -> list[str]:
        return []

    def characters_and_bytes(self, ids: Ids) -> tuple[int, int | None]:
        continuation = (ids & 0xC0) == 0x80
        return len(ids) - int(continuation.sum()), len(ids)

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind}


def grow_vocabulary(known: Vocabulary | None, found: Vocabulary) -> Vocabulary:
    """The vocabulary `known`, its ids unchanged, with the characters that only `found` has at its end."""
    if known is None:
        return found
    if not (isinstance(known, CharacterVocabulary) and isinstance(found, CharacterVocabulary)):
        return known
    old = set(known.characters)
    return CharacterVocabulary([*known.characters, *(new for new in found.characters if new not in old)])


def vocabulary_from_json(data: object) -> Vocabulary:
    """Read the content of a `vocabulary.json`, trusting nothing in it."""
    if not isinstance(data, dict) or data.get("kind") not in ("characters", "bytes"):
        raise ModelDirectoryError('vocabulary.json does not say {"kind": "characters"} or {"kind": "bytes"}')
    if data["kind"] == "bytes":
        return ByteVocabulary()
    characters = data.get("characters")
    if not isinstance(characters, list) or not characters or characters[0] is not None:
        raise ModelDirectoryError('vocabulary.json needs "characters": [null, ...]')
    known = characters[1:]
    if not all(isinstance(item, str) and len(item) == 1 and not _is_surrogate(item) for item in known):
        raise ModelDirectoryError("vocabulary.json holds something that is not a single character")
    try:
        return CharacterVocabulary(known)
    except ValueError as error:
        raise ModelDirectoryError(f"vocabulary.json: {error}") from None


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _byte_counts(data: bytes) -> NDArray[np.int64]:
    """How often each of the 256 bytes occurs; counted in pairs, which is three times as fast as one by one."""
    counts = np.bincount(np.frombuffer(data, dtype="<u2", count=len(data) // 2), minlength=1 << 16).reshape(256, 256)
    both: NDArray[np.int64] = counts.sum(axis=0) + counts.sum(axis=1)
    if len(data) % 2:
        both[data[-1]] += 1
    return both


def _is_surrogate(character: str) -> bool:
    return 0xD800 <= ord(character) <= 0xDFFF
