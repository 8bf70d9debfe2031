"""What the model thought of each character: its log-probability, and the likeliest ones in its place.

The figures are of the model's own distribution: before temperature, patterns and filters, the unknown character counted
in. Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.session import Logits
from charloom.text.vocabulary import Vocabulary

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
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


class TokenWriter:
    """Makes tokens of ids and distributions."""

    def __init__(self, vocabulary: Vocabulary, alternatives: int) -> None:
        """Name the `alternatives` likeliest characters of each place."""
        self._vocabulary = vocabulary
        self._alternatives = alternatives

    def token(self, token: int, distribution: LogProbabilities) -> Token:
        """The token of an id whose place had these log-probabilities (V,)."""
        ranked = distribution
        if self._vocabulary.unknown_id is not None:
            ranked = distribution.copy()
            ranked[self._vocabulary.unknown_id] = -np.inf
        best = np.argsort(-ranked, kind="stable")[: self._alternatives]
        top = tuple((self._text(int(other)), float(distribution[other])) for other in best)
        return Token(token, self._text(token), float(distribution[token]), top)

    def _text(self, token: int) -> str:
        text = self._vocabulary.decode(np.array([token]))
        return "" if self._vocabulary.kind == "bytes" and token >= 0x80 else text


class TokenQueue:
    """Tokens of one text that wait until their characters are certain."""

    def __init__(self, writer: TokenWriter) -> None:
        """Nothing waits."""
        self._writer = writer
        self._waiting: deque[tuple[Token, int]] = deque()

    def add(self, token: int, distribution: LogProbabilities, completed: int) -> None:
        """Add an id that completed so many characters."""
        self._waiting.append((self._writer.token(token, distribution), completed))

    def release(self, characters: int) -> tuple[Token, ...]:
        """Take the tokens of the next so many characters."""
        released: list[Token] = []
        while characters > 0 and self._waiting:
            token, completed = self._waiting.popleft()
            released.append(token)
            characters -= completed
        return tuple(released)

    def rest(self) -> tuple[Token, ...]:
        """Take all that wait: bytes that complete no character."""
        rest = tuple(token for token, _ in self._waiting)
        self._waiting.clear()
        return rest
