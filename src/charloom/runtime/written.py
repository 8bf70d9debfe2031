"""What a text has become so far, in little memory: its characters, and what the model thought of each."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.tokens import LogProbabilities, Thought, Token, likeliest
from charloom.text.vocabulary import Vocabulary

_BLOCK = 1024  # pieces that are joined into one


class WrittenText:
    """A text that grows piece by piece and is read from anywhere."""

    def __init__(self) -> None:
        """Nothing is written."""
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
    """What the model thought of the ids of one text, one after another."""

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

    def add(self, thought: Thought) -> None:
        """Add one."""
        self._top_ids.extend(thought.top_ids[: self.alternatives])
        self._top_logprobs.extend(thought.top_logprobs[: self.alternatives])
        self._logprobs.append(thought.logprob)
        self._ids.append(thought.id)

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
