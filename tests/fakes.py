"""Networks made by hand, whose every answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charloom.bundle import ModelShape
from charloom.runtime.session import Logits, Session, State
from charloom.text.vocabulary import Ids


def fake_shape(vocab_size: int) -> ModelShape:
    return ModelShape(cell="rnn", num_layers=1, hidden_size=1, embedding_size=1, dropout=0, vocab_size=vocab_size)


class FakeSession(Session):
    """Scores that depend on the character just read and on how many were read since the zero state.

    The state is that count, so a test sees whether state is carried or begun anew.
    """

    def __init__(self, vocab_size: int, score: Callable[[int, int], list[float]]) -> None:
        """Answer `score(id, count)` after each id; `count` includes it."""
        self.shape = fake_shape(vocab_size)
        self._score = score
        self.runs: list[tuple[int, ...]] = []  # the shape of what was read at each call

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        self.runs.append(ids.shape)
        (count,) = (part.copy() for part in state)
        logits = np.empty((*ids.shape, self.shape.vocab_size), dtype=np.float32)
        for time, row in enumerate(ids):
            count += 1
            for column, token in enumerate(row):
                logits[time, column] = self._score(int(token), int(count[column, 0]))
        return logits, (count,)


def uniform(vocab_size: int) -> FakeSession:
    """Every character is as likely as every other."""
    return FakeSession(vocab_size, lambda token, count: [0.0] * vocab_size)


def cycle(vocab_size: int) -> FakeSession:
    """After id i comes id i + 1, after the last comes 1 (0 is the unknown)."""

    def score(token: int, count: int) -> list[float]:
        scores = [0.0] * vocab_size
        scores[token % (vocab_size - 1) + 1] = 50.0
        return scores

    return FakeSession(vocab_size, score)
