"""What a line costs a model beyond another one: character by character, whatever the vocabularies."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import charloom
from charloom import Score
from charloom.errors import UsageError
from charloom.runtime import side_by_side
from charloom.runtime.contrast import Contrast
from charloom.runtime.scored_files import in_memory, line_in_memory
from charloom.runtime.scores import rank
from charloom.runtime.scoring import Scorer, Text
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary
from tests.fakes import FakeSession

LETTERS = CharacterVocabulary("\nabü")
VOCABULARIES: list[Vocabulary] = [LETTERS, CharacterVocabulary("\nü☃a"), ByteVocabulary()]
Pair = tuple[Vocabulary, Vocabulary]


def session(vocabulary: Vocabulary, seed: int) -> FakeSession:
    def scores(token: int, count: int) -> list[float]:
        return [3 * math.sin(seed + count * 0.1 + token * letter) for letter in range(vocabulary.size)]

    return FakeSession(vocabulary.size, scores)


def alone(vocabulary: Vocabulary, seed: int, mask: str, per_char: bool = True) -> Scorer:
    return Scorer(session(vocabulary, seed), vocabulary, (), per_char=per_char, mask=mask)


def together(pair: Pair, mask: str, per_char: bool = True) -> Contrast:
    other = alone(pair[1], 2, mask, per_char=False)
    return Contrast(session(pair[0], 1), pair[0], (), other=other, per_char=per_char, mask=mask)


def check(found: Score, mine: Score, other: Score, mask: str) -> None:
    assert mine.per_char is not None
    assert other.per_char is not None
    assert found.per_char is not None
    assert (found.nats, found.worst_bits, found.characters) == (mine.nats, mine.worst_bits, mine.characters)
    assert found.beyond_nats == mine.nats - other.nats
    differences = [bits - others for (_, bits), (_, others) in zip(mine.per_char, other.per_char, strict=True)]
    assert [letter for letter, _ in found.per_char] == [letter for letter, _ in mine.per_char]
    assert [bits for _, bits in found.per_char] == pytest.approx(differences, abs=1e-9)
    counted = [bits for letter, bits in found.per_char if letter not in mask]
    worst = max(counted, default=None)
    assert rank(found, "worst") == found.worst_beyond_bits
    assert found.worst_beyond_bits == (None if worst is None else pytest.approx(worst))
    if found.characters:
        assert rank(found, "mean") == pytest.approx(sum(counted) / found.characters)
        assert rank(found, "total") == pytest.approx(sum(counted))


@given(
    st.tuples(st.sampled_from(VOCABULARIES), st.sampled_from(VOCABULARIES)),
    st.lists(st.text("aü☃b😀\udc80\n", max_size=12), min_size=1, max_size=8),
    st.sampled_from(["a", "[aü]", "☃"]),
    st.integers(1, 9),
)
def test_it_is_the_difference_of_the_two(pair: Pair, lines: list[str], mask: str, positions: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "_POSITIONS", positions)
        texts = [line_in_memory(line) for line in lines]
        found = list(together(pair, mask).in_turn(texts))
        mine, other = (list(alone(one, seed, mask).in_turn(texts)) for one, seed in zip(pair, (1, 2), strict=True))
        for row in zip(found, mine, other, strict=True):
            check(*row, mask=mask)
        large = [Text(iter(line), shown=line) for line in lines]
        again = list(together(pair, mask).side_by_side(large))
        whole = list(together(pair, mask).in_turn(map(in_memory, lines)))
        assert [one.beyond_nats for one in again] == pytest.approx([one.beyond_nats for one in whole])
        worst = [one.worst_beyond_bits for one in whole]
        assert [one.worst_beyond_bits for one in again] == [
            None if one is None else pytest.approx(one) for one in worst
        ]


def test_little_of_a_large_text_is_held() -> None:
    def peak(pieces: int) -> int:
        tracemalloc.start()
        scorer = together((LETTERS, ByteVocabulary()), "", per_char=False)
        list(scorer.in_turn([Text("ab\nü" * 500 for _ in range(pieces))]))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(24) < 1.3 * peak(8)


def test_models_that_read_differently_are_not_compared() -> None:
    other = Scorer(session(LETTERS, 2), LETTERS, ("lowercase",))
    with pytest.raises(UsageError, match="cleaned with nothing and the one it is compared with lowercase"):
        Contrast(session(LETTERS, 1), LETTERS, (), other=other)
    without = CharacterVocabulary("ab")
    other = Scorer(session(without, 2), without, ())
    with pytest.raises(UsageError, match="knows no line end"):
        Contrast(session(LETTERS, 1), LETTERS, (), other=other)


def test_each_line_of_a_stream_is_answered_before_the_next(trained: Path) -> None:
    model, other = charloom.load(trained), charloom.load(trained, precision="float32")
    taken = 0

    def lines() -> Iterator[str | None]:
        nonlocal taken
        for line in ("The first line", None, "zzqqxxjjzz"):
            taken += 1
            yield line

    for number, score in enumerate(model.score_lines(lines(), live=True, against=other), start=1):
        assert taken == number
        assert score.beyond_nats is not None
        assert abs(score.beyond_nats) < 5
        assert (score.text is None) == (number == 2) == (score.beyond_bits_per_char is None)
