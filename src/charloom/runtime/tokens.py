"""What the model thought of each character: its log-probability, and the likeliest ones in its place.

The figures are of the model's own distribution: before temperature, patterns and filters, the unknown character counted
in. Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.session import Logits

LogProbabilities = NDArray[np.float64]


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
class Thought:
    """What the model thought of one id: ln p of it, and the likeliest ids in its place."""

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


class Thoughts:
    """What the model thinks of what may come next in several rows, each of which names some alternatives or none."""

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

    def of(self, row: int, token: int) -> Thought | None:
        """What is thought of `token` in a row; None where that row names no alternatives."""
        place = self._places.get(row)
        if place is None:
            return None
        logprob = float(self._distributions[place, token])
        return Thought(token, logprob, self._top_ids[place], self._top_logprobs[place])


class ThoughtQueue:
    """Thoughts of one text that wait until their characters are certain."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: deque[tuple[Thought, int]] = deque()

    def add(self, thought: Thought, completed: int) -> None:
        """Add that of an id that completed so many characters."""
        self._waiting.append((thought, completed))

    def release(self, characters: int) -> tuple[Thought, ...]:
        """Take those of the next so many characters."""
        released: list[Thought] = []
        while characters > 0 and self._waiting:
            thought, completed = self._waiting.popleft()
            released.append(thought)
            characters -= completed
        return tuple(released)

    def rest(self) -> tuple[Thought, ...]:
        """Take all that wait: bytes that complete no character."""
        rest = tuple(thought for thought, _ in self._waiting)
        self._waiting.clear()
        return rest
