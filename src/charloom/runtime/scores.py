"""What a text costs: its nats added up as they come, and the figures that are reported.

Legend: T time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charloom.runtime.session import Nats
from charloom.text.vocabulary import Ids, Vocabulary

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Score:
    """How surprising one text is. Scores are sorted by bits a character, the empty text first.

    In a notebook one with `per_char` shows its text coloured by surprise.

    Attributes:
        text: as the user wrote it; of a line of more than 262,144 characters its beginning; None for a whole file, and
            for a missing value of a table.
        characters: how many the model was charged for, after cleaning; of a line its end is one of them.
        unknown: how many of them the model has no id for.
        nats: −ln p of the whole text; an empty text has 0.
        bits_per_char: nats / ln 2 / characters; None for an empty text.
        per_char: where it was asked for, every character as the model read it, and its bits.
        file: the file it is in, if it is in one.
        line: which line of the file it is, from 1; None for a whole file.
        worst_bits: the bits of its costliest character; None for an empty text.
        end_bits: of a line, the bits of its end; None where the model's vocabulary has no line end.
        odd: whether it is odd enough for an alert; None where no `Detector` was asked.
        beyond_nats: where another model was asked too, `nats` less what that one charges; negative where it charges
            more. Then `per_char` has differences as well.
        beyond_bits_per_char: the same, in bits a character.
        worst_beyond_bits: of the character that costs most beyond what the other model charges for it.
    """

    text: str | None
    characters: int
    unknown: int
    nats: float
    bits_per_char: float | None
    per_char: tuple[tuple[str, float], ...] | None = None
    file: str | None = None
    line: int | None = None
    worst_bits: float | None = None
    end_bits: float | None = None
    odd: bool | None = None
    beyond_nats: float | None = None
    beyond_bits_per_char: float | None = None
    worst_beyond_bits: float | None = None

    def __lt__(self, other: Score) -> bool:
        """Whether this text is less surprising."""
        return (self.bits_per_char or 0.0) < (other.bits_per_char or 0.0)

    def _repr_html_(self) -> str:
        from charloom.runtime.surprise import as_html

        figures = [f"{self.characters:,} characters"]
        if self.bits_per_char is not None:
            figures.append(f"{self.bits_per_char:.2f} bits per character")
        figures.append("per_char=True colours the text" if self.per_char is None else "coloured from 2 bits")
        letters = self.per_char if self.per_char is not None else ((letter, 0.0) for letter in self.text or "")
        return as_html("", letters, ", ".join(figures))


Ranking = Literal["mean", "total", "worst"]
"""What texts are ranked by: bits a character, bits of the whole text, bits of the costliest character."""


def rank(score: Score, by: Ranking) -> float | None:
    """How odd a text is, by one of its figures, beyond the other model's if there is one; None for an empty text."""
    nats, mean, worst = score.nats, score.bits_per_char, score.worst_bits
    if score.beyond_nats is not None:
        nats, mean, worst = score.beyond_nats, score.beyond_bits_per_char, score.worst_beyond_bits
    if by == "worst":
        return worst
    return mean if by == "mean" or not score.characters else bits(nats)


def bits_per_char(nats: float, characters: int) -> float | None:
    """Bits a character; None where there is none."""
    return bits(nats) / characters if characters else None


def bits(nats: float) -> float:
    """Nats in bits."""
    return nats / math.log(2)


class NatsTotal:
    """The sum of the nats of one text, the same to the last bit however they come in stretches.

    Blocks of fixed length are summed exactly and then added one after another: memory does not grow.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._held: list[float] = []

    def add(self, nats: Nats) -> None:
        """Add the next stretch (T,)."""
        self._held += nats.tolist()
        while len(self._held) >= _BLOCK:
            self._total += math.fsum(self._held[:_BLOCK])
            del self._held[:_BLOCK]

    @property
    def nats(self) -> float:
        """The sum of all that was added."""
        return self._total + math.fsum(self._held)


class Costliest:
    """The nats of a text's costliest character; of bytes, those of one character count together.

    Attributes:
        nats: of the costliest so far; None before the first.
        last: of the last id.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.nats: float | None = None
        self.last = 0.0
        self._in_bytes = vocabulary.kind == "bytes"
        self._begun = 0.0  # what the bytes of the last character have cost so far

    def add(self, nats: Nats, ids: Ids) -> None:
        """Add the next stretch (T,) and the ids that it is of, (T,)."""
        if not len(nats):
            return
        self.last = float(nats[-1])
        costs = self._of_characters(nats, ids) if self._in_bytes else nats
        self.nats = max(float(costs.max()), self.nats or 0.0)

    def _of_characters(self, nats: Nats, ids: Ids) -> Nats:
        starts = np.flatnonzero((ids & 0xC0) != 0x80)
        costs = np.add.reduceat(nats, np.union1d([0], starts), dtype=np.float64)
        if not len(starts) or starts[0] > 0:
            costs[0] += self._begun
        self._begun = float(costs[-1])
        return costs
