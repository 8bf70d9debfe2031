"""Read prompts through the network, side by side and in bounded pieces, and cache the states after them.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charloom.errors import ModelDirectoryError
from charloom.runtime.logprobs import Tokens, log_probabilities
from charloom.runtime.session import LOGITS_LIMIT, Logits, Session, State, initial_state, no_number
from charloom.text.vocabulary import Ids, Vocabulary

_ENTRIES = 1024  # bounds what a look-up costs: it hashes once for every length that is kept
_OVERHEAD = 500  # bytes of an entry beside its arrays

READ_AT_ONCE = 1024  # characters


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

    Prompts are distinguished by their exact ids, by way of a 256-bit digest.

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


def prompt_ids(vocabulary: Vocabulary, cleaned_prompt: str) -> Ids:
    """The ids a prompt sets the state with; an empty prompt is read as the start of a line."""
    if not cleaned_prompt:
        return np.array([vocabulary.opening_id])
    return vocabulary.encode(cleaned_prompt)


def read_prompt(session: Session, ids: Ids) -> tuple[Logits, State]:
    """Read a prompt, ids (T,) with T ≥ 1, in bounded memory: what comes after it (1, V), and the state (1, H)."""
    at_once = _bounded(session, READ_AT_ONCE)
    state = initial_state(session.shape, 1)
    for start in range(0, len(ids), at_once):
        logits, state = session.read(ids[start : start + at_once, None], state)
    return logits, state


def _bounded(session: Session, at_once: int) -> int:
    """How many characters to read in one go: a large vocabulary has many logits for each."""
    return max(1, min(at_once, LOGITS_LIMIT // session.shape.vocab_size))


class Reading:
    """One prompt, ids (T,) with T ≥ 1, read as far as `position`.

    Attributes:
        ids: the prompt's, (T,).
        position: how many of them were read.
        state: after what was read, (1, H).
        logits: what comes after the whole prompt, (1, V); None until it is read.
        tokens: where they are given, take in what the model thought of each character but the first.
        error: why they could not take it in, if they could not.
    """

    def __init__(self, ids: Ids, state: State, tokens: Tokens | None = None) -> None:
        """Nothing is read yet.

        Raises:
            ValueError: there is no id.
        """
        if not len(ids):
            raise ValueError("a prompt needs at least one id")
        self.ids = ids
        self.position = 0
        self.state = state
        self.logits: Logits | None = None
        self.tokens = tokens
        self.error: ModelDirectoryError | None = None

    @property
    def left(self) -> int:
        """Characters that are still to be read."""
        return len(self.ids) - self.position

    def advance(self, count: int, logits: Logits, state: State) -> None:
        """Characters were read: logits after the last, or after each where tokens are wanted; the state (1, H)."""
        if self.tokens is not None:
            following = self.ids[self.position + 1 :][: len(logits)].astype(np.int64)
            distributions = log_probabilities(logits[: len(following)])
            if np.isfinite(distributions).all():
                self.tokens.extend(following, distributions)
            else:  # it is this prompt's error, not its neighbours'
                self.error, self.tokens = no_number(), None
        self.position += count
        self.state = state
        if not self.left:
            self.logits = logits[-1:].copy()


class PromptReader:
    """Reads the prompts of an engine, at most so many characters in one go, and remembers what it has read.

    Attributes:
        cache: the prompts that are remembered.
    """

    def __init__(self, session: Session, *, at_once: int, cache_bytes: int = 0) -> None:
        """Read at most `at_once` characters in one go, all prompts together; remember up to `cache_bytes`."""
        self._session = session
        self._at_once = _bounded(session, at_once)
        self.cache = PrefixCache(cache_bytes)

    def begin(self, ids: Ids, tokens: Tokens | None = None) -> Reading:
        """Begin a prompt, ids (T,), from where another one has led already, unless tokens are wanted of it."""
        reading = Reading(ids, initial_state(self._session.shape, 1), tokens)
        known = None if tokens is not None else self.cache.longest(ids)
        if known is not None:
            reading.position, reading.state = known.length, known.state
            reading.logits = known.logits if known.length == len(ids) else None
        return reading

    def advance(self, readings: Sequence[Reading]) -> None:
        """Read on, in all of these prompts that are not read to the end, or in as many as one go allows."""
        unread = [reading for reading in readings if reading.left][: self._at_once]
        if not unread:
            return
        length = max(1, min(self._at_once // len(unread), *(reading.left for reading in unread)))
        ids = np.stack([reading.ids[reading.position :][:length] for reading in unread], axis=1)  # (T, B)
        state = tuple(np.concatenate(parts) for parts in zip(*(reading.state for reading in unread), strict=True))
        if any(reading.tokens is not None for reading in unread):
            logits, after = self._session.run(ids, state)
        else:
            last, after = self._session.read(ids, state)
            logits = last[None]
        for row, reading in enumerate(unread):
            reading.advance(length, logits[:, row], tuple(part[row : row + 1].copy() for part in after))
            if reading.logits is not None:
                self.cache.put(reading.ids, reading.logits, reading.state)
