"""What a text costs a model beyond what it costs another one: `charloom score --against`.

What no model foresees, such as a number, costs both as much and cancels. The two read the same characters, so they are
compared character by character, whatever their vocabularies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee

import numpy as np

from charloom.errors import UsageError
from charloom.runtime.masks import Masks
from charloom.runtime.scores import Score, bits, bits_per_char
from charloom.runtime.scoring import CharacterCosts, Reading, Scorer, Text
from charloom.runtime.session import Nats, Session
from charloom.runtime.side_by_side import nats_of_texts
from charloom.text.vocabulary import Vocabulary


class Contrast(Scorer):
    """A network, and another one that is shown the same texts."""

    def __init__(
        self,
        session: Session,
        vocabulary: Vocabulary,
        cleaning: Sequence[str],
        *,
        other: Scorer,
        per_char: bool = False,
        mask: Masks = (),
    ) -> None:
        """Score with a network beyond another one; see `Scorer`.

        Args:
            session: the network.
            vocabulary: what its ids mean.
            cleaning: the steps its training text went through.
            other: the other network, with the same masks.
            per_char: say what every character costs beyond what it costs the other.
            mask: what these regular expressions match in a text as the model reads it is read and not charged.

        Raises:
            UsageError: the two read a text differently.
        """
        super().__init__(session, vocabulary, cleaning, per_char=per_char, mask=mask)
        if other.steps != self.steps:
            steps, others = (", ".join(one) or "nothing" for one in (self.steps, other.steps))
            raise UsageError(
                f"the model reads texts cleaned with {steps} and the one it is compared with {others}: "
                "train them with the same --clean"
            )
        if other.line_end != self.line_end:
            raise UsageError("one of the two models knows no line end: train both on texts with line ends, or neither")
        self.compared = other.compared = True
        self._other = other

    def window(self, texts: Sequence[Text]) -> Iterator[Score]:
        """Score texts in memory; the order stays as it was."""
        pairs = zip(self.read_window(texts), self._other.read_window(texts), strict=True)
        return (_Comparison(mine, theirs, self.per_char).score() for mine, theirs in pairs)

    def side_by_side(self, texts: Iterable[Text]) -> Iterator[Score]:
        """Score texts of any size, one after another: the two networks side by side."""
        return map(self._read_by_both, texts)

    def _read_by_both(self, text: Text) -> Score:
        """The network that is behind reads on, so that little of the text is held."""
        scorers = (self, self._other)
        readings = [
            Reading(replace(text, pieces=pieces), scorer)
            for pieces, scorer in zip(tee(text.pieces), scorers, strict=True)
        ]
        comparison = _Comparison(readings[0], readings[1], self.per_char)
        waiting = {
            reading: nats_of_texts(scorer.session, scorer.vocabulary.opening_id, [reading.ids()], 1)
            for reading, scorer in zip(readings, scorers, strict=True)
        }
        while waiting:
            behind = min(waiting, key=lambda reading: len(_costs(reading)))
            _, nats = next(waiting[behind])
            if nats is None:
                del waiting[behind]
            else:
                behind.add(nats)
                comparison.go_on()
        return comparison.score()


class _Comparison:
    """One text, read by two networks."""

    def __init__(self, mine: Reading, theirs: Reading, per_char: bool) -> None:
        self._mine, self._theirs = mine, theirs
        self._worst = math.nan
        self._kept: list[Nats] | None = [] if per_char else None

    def go_on(self) -> None:
        """Compare the characters that both have read."""
        mine, theirs = _costs(self._mine), _costs(self._theirs)
        count = min(len(mine), len(theirs))
        beyond = mine.take(count) - theirs.take(count)
        self._worst = float(np.fmax.reduce(beyond, initial=self._worst))
        if self._kept is not None:
            self._kept.append(beyond)

    def score(self) -> Score:
        """The first network's score, and what it is beyond the other's."""
        self.go_on()
        score = self._mine.score()
        nats = score.nats - self._theirs.score().nats
        return replace(
            score,
            beyond_nats=nats,
            beyond_bits_per_char=bits_per_char(nats, score.characters),
            worst_beyond_bits=None if math.isnan(self._worst) else bits(self._worst),
            per_char=None if self._kept is None else self._per_char(score, np.concatenate(self._kept)),
        )

    @staticmethod
    def _per_char(score: Score, beyond: Nats) -> tuple[tuple[str, float], ...]:
        letters = (letter for letter, _ in score.per_char or ())
        return tuple(zip(letters, (np.nan_to_num(beyond) / math.log(2)).tolist(), strict=True))


def _costs(reading: Reading) -> CharacterCosts:
    assert reading.costs is not None
    return reading.costs
