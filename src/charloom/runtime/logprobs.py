"""Log-probabilities of each character and of the likeliest in its place, in little memory; and the text as it grows.

The figures are of the model's own distribution: before temperature, patterns and filters, the unknown character counted
in. Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.session import Logits
from charloom.text.vocabulary import Vocabulary

LogProbabilities = NDArray[np.float64]

_BLOCK = 1024  # pieces that are joined into one


@dataclass(frozen=True)
class Token:
    """One id, written or read.

    Attributes:
        id: which.
        text: its character; empty for a byte that is none by itself.
        logprob: ln p that the model gave it.
        top: the likeliest characters in its place with their ln p, the likeliest first; never the unknown one.
    """

    id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Chunk:
    """A piece of text with its tokens, where these were asked for; text may be empty at the end of a text of bytes."""

    text: str
    tokens: tuple[Token, ...] = ()


def log_probabilities(logits: Logits) -> LogProbabilities:
    """Natural log-probabilities over the last axis: logits (…, V) → (…, V) in float64."""
    shifted = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # NaN stays NaN: whoever asks looks at the result
        shifted -= shifted.max(axis=-1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


@dataclass(frozen=True, slots=True)
class IdLogprobs:
    """What the model gave one id: ln p of it, and of the likeliest ids in its place."""

    id: int
    logprob: float
    top_ids: Sequence[int]
    top_logprobs: Sequence[float]

    @property
    def is_finite(self) -> bool:
        """Whether all of it are finite numbers."""
        return math.isfinite(self.logprob) and all(map(math.isfinite, self.top_logprobs))


def likeliest(distributions: LogProbabilities, count: int, unknown_id: int | None) -> NDArray[np.intp]:
    """The `count` likeliest ids of places (T, V), the likeliest first, of equals the lowest; never the unknown one."""
    if not count:
        return np.zeros((len(distributions), 0), dtype=np.intp)
    ranked = -distributions
    if unknown_id is not None:
        ranked[:, unknown_id] = np.inf
    return np.argsort(ranked, axis=-1, kind="stable")[:, :count]


class BatchLogprobs:
    """Log-probabilities of what may come next in several rows, each of which names some alternatives or none."""

    def __init__(self, logits: Logits, alternatives: Sequence[int | None], unknown_id: int | None) -> None:
        """Of logits (B, V), for the rows whose number of alternatives is not None."""
        wanting = [row for row, count in enumerate(alternatives) if count is not None]
        self._places = {row: place for place, row in enumerate(wanting)}
        if not wanting:
            return
        self._distributions = log_probabilities(logits[wanting])
        most = max(alternatives[row] or 0 for row in wanting)
        top = likeliest(self._distributions, min(most, logits.shape[1]), unknown_id)
        self._top_ids = top.tolist()
        self._top_logprobs = np.take_along_axis(self._distributions, top, axis=-1).tolist()

    def of(self, row: int, token: int) -> IdLogprobs | None:
        """Those of `token` in a row; None where that row names no alternatives."""
        place = self._places.get(row)
        if place is None:
            return None
        logprob = float(self._distributions[place, token])
        return IdLogprobs(token, logprob, self._top_ids[place], self._top_logprobs[place])


class LogprobQueue:
    """Log-probabilities of one text that wait until their characters are certain."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[IdLogprobs, int]] = deque()

    def add(self, logprobs: IdLogprobs, completed: int) -> None:
        """Add that of an id that completed so many characters."""
        self._waiting.append((logprobs, completed))

    def release(self, characters: int) -> tuple[IdLogprobs, ...]:
        """Take those of the next so many characters."""
        released: list[IdLogprobs] = []
        while characters > 0 and self._waiting:
            logprobs, completed = self._waiting.popleft()
            released.append(logprobs)
            characters -= completed
        return tuple(released)

    def rest(self) -> tuple[IdLogprobs, ...]:
        """Take all that wait: bytes that complete no character."""
        rest = tuple(logprobs for logprobs, _ in self._waiting)
        self._waiting.clear()
        return rest


class WrittenText:
    """A text that grows piece by piece and is read from anywhere."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._ends: list[int] = []  # where each block ends
        self._tail: list[str] = []
        self.length = 0

    def add(self, piece: str) -> None:
        """Add a piece."""
        self._tail.append(piece)
        self.length += len(piece)
        if len(self._tail) >= _BLOCK:
            self._blocks.append("".join(self._tail))
            self._ends.append(self.length)
            self._tail = []

    def since(self, place: int) -> str:
        """All from the character number `place` on."""
        first = bisect_right(self._ends, place)
        start = self._ends[first - 1] if first else 0
        return "".join([*self._blocks[first:], *self._tail])[place - start :]


class Tokens:
    """Log-probabilities of the ids of one text, one after another, with those of the likeliest in their places."""

    def __init__(self, vocabulary: Vocabulary, alternatives: int) -> None:
        """Hold the `alternatives` likeliest characters of each place."""
        self._vocabulary = vocabulary
        self.alternatives = most_alternatives(vocabulary, alternatives)
        self._top_ids = array("i")
        self._top_logprobs = array("d")
        self._logprobs = array("d")
        self._ids = array("i")  # the last to grow: what it counts is there

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ids)

    def add(self, logprobs: IdLogprobs) -> None:
        """Add one."""
        self._top_ids.extend(logprobs.top_ids[: self.alternatives])
        self._top_logprobs.extend(logprobs.top_logprobs[: self.alternatives])
        self._logprobs.append(logprobs.logprob)
        self._ids.append(logprobs.id)

    def extend(self, ids: NDArray[np.int64], distributions: LogProbabilities) -> None:
        """Add ids (T,) of places with these log-probabilities (T, V)."""
        top = likeliest(distributions, self.alternatives, self._vocabulary.unknown_id)
        self._top_ids.frombytes(top.astype(np.intc).tobytes())
        self._top_logprobs.frombytes(np.take_along_axis(distributions, top, axis=-1).tobytes())
        self._logprobs.frombytes(distributions[np.arange(len(ids)), ids].tobytes())
        self._ids.frombytes(ids.astype(np.intc).tobytes())

    def some(self, start: int, stop: int) -> Iterator[Token]:
        """Those from `start` to `stop`."""
        width = self.alternatives
        for place in range(max(0, start), min(stop, len(self))):
            first = place * width
            top_ids, logprobs = self._top_ids[first : first + width], self._top_logprobs[first : first + width]
            top = tuple(zip(map(self._text, top_ids), logprobs, strict=True))
            yield Token(self._ids[place], self._text(self._ids[place]), self._logprobs[place], top)

    @property
    def ids(self) -> Sequence[int]:
        """The ids."""
        return self._ids

    @property
    def logprobs(self) -> Sequence[float]:
        """What each of them cost: ln p."""
        return self._logprobs

    def _text(self, token: int) -> str:
        return self._vocabulary.text_of(token)


def most_alternatives(vocabulary: Vocabulary, alternatives: int) -> int:
    """How many characters can be named at a place: the unknown one never is."""
    return min(alternatives, vocabulary.size - (vocabulary.unknown_id is not None))
