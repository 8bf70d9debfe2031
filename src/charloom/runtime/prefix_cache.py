"""States after prompts, kept so that a prompt read before, or one that goes on from it, is not read again."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np

from charloom.runtime.session import Logits, State
from charloom.text.vocabulary import Ids

_ENTRIES = 1024  # bounds what a look-up costs: it hashes once for every length that is kept
_OVERHEAD = 500  # bytes of an entry beside its arrays


@dataclass(frozen=True)
class Prefix:
    """A prompt that was read: how many ids, what comes after them (1, V), and the state after them (1, H)."""

    length: int
    logits: Logits
    state: State

    @property
    def bytes(self) -> int:
        """What keeping it costs."""
        return _OVERHEAD + self.logits.nbytes + sum(part.nbytes for part in self.state)


class PrefixCache:
    """The prompts that were used last, up to a number of bytes.

    Prompts are told apart by their exact ids, by way of a 256-bit digest.

    Attributes:
        bytes: what the kept prompts take.
        hits: look-ups so far that found the beginning of a prompt.
        misses: look-ups so far that found nothing.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes; 0 keeps nothing."""
        self._limit = limit
        self._kept: OrderedDict[bytes, Prefix] = OrderedDict()  # the one used last at the end
        self._lengths: Counter[int] = Counter()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        """How many prompts are kept."""
        return len(self._kept)

    def longest(self, ids: Ids) -> Prefix | None:
        """The longest kept prompt that `ids` (T,) begins with."""
        best: bytes | None = None
        content = _content(ids)
        digest, start = hashlib.blake2b(digest_size=32), 0
        for length in sorted(length for length in self._lengths if length <= len(ids)):
            digest.update(content[start : 4 * length])
            start = 4 * length
            key = digest.digest()
            best = key if key in self._kept else best
        if best is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(best)
        return self._kept[best]

    def put(self, ids: Ids, logits: Logits, state: State) -> None:
        """Keep what comes after a prompt, ids (T,): logits (1, V) and state (1, H)."""
        prefix = Prefix(len(ids), logits, state)
        if prefix.bytes > self._limit:
            return
        key = hashlib.blake2b(_content(ids), digest_size=32).digest()
        self._remove(key)
        while self._kept and (self.bytes + prefix.bytes > self._limit or len(self._kept) >= _ENTRIES):
            self._remove(next(iter(self._kept)))
        self._kept[key] = prefix
        self._lengths[prefix.length] += 1
        self.bytes += prefix.bytes

    def _remove(self, key: bytes) -> None:
        prefix = self._kept.pop(key, None)
        if prefix is None:
            return
        self.bytes -= prefix.bytes
        self._lengths[prefix.length] -= 1
        if not self._lengths[prefix.length]:
            del self._lengths[prefix.length]


def _content(ids: Ids) -> bytes:
    return np.asarray(ids, dtype="<u4").tobytes()
