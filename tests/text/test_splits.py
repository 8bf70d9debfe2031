from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CorpusError
from charloom.text.cleaning import clean
from charloom.text.splits import Segment, Split, split_ids, with_opening
from charloom.text.vocabulary import CharacterVocabulary


def predicted(segments: list[Segment]) -> int:
    return sum(segment.predicted for segment in segments)


def targets(segments: list[Segment]) -> list[int]:
    return [int(place) for segment in segments for place in segment.ids[1:]]


def test_tail_of_tiny_shakespeare(shakespeare: Path) -> None:
    text = shakespeare.read_text("utf-8")
    vocabulary = CharacterVocabulary.from_text(text)
    ids = vocabulary.encode(text)
    split = split_ids(with_opening(ids, vocabulary.opening_id), "tail", 0.1)
    assert predicted(list(split.train)) == 1_003_854
    assert predicted(list(split.validation)) == 111_540
    assert vocabulary.decode(split.train[0].ids) == "\n" + text[:1_003_854]
    assert vocabulary.decode(split.validation[0].ids) == text[1_003_853:]


def test_row_tail_of_the_articles_text(shakespeare: Path) -> None:
    text = clean(shakespeare.read_text("utf-8"), ["article"])
    vocabulary = CharacterVocabulary.from_text(text)
    split = split_ids(with_opening(vocabulary.encode(text), vocabulary.opening_id), "row-tail", 0.1)
    assert (len(split.train), len(split.validation)) == (64, 64)
    assert predicted(list(split.train)) == 806_400
    assert predicted(list(split.validation)) == 88_320
    row = len(text) // 64
    assert vocabulary.decode(split.train[1].ids) == text[row : row + 12_601]
    assert vocabulary.decode(split.validation[1].ids) == text[row + 12_600 : row + 12_600 + 1_381]


@given(st.integers(0, 9_000), st.floats(0.0001, 0.5), st.sampled_from(["tail", "blocks", "row-tail"]))
def test_no_validation_target_is_a_training_target(characters: int, fraction: float, kind: str) -> None:
    """Ids are their own places, the opening is -1."""
    ids = np.arange(characters)
    try:
        split = split_ids(with_opening(ids, -1), kind, fraction)  # type: ignore[arg-type]
    except CorpusError:
        return
    train, validation = targets(list(split.train)), targets(list(split.validation))
    assert validation, "a split that validates nothing"
    assert train
    assert len(set(train)) == len(train)
    assert len(set(validation)) == len(validation)
    assert not set(train) & set(validation)
    for segment in (*split.train, *split.validation):
        np.testing.assert_array_equal(np.diff(segment.ids), 1)  # contiguous, the opening (-1) included
    if kind == "tail":
        assert train + validation == list(range(characters))
        assert len(validation) == pytest.approx(characters * fraction, abs=1)
    elif kind == "blocks":
        assert sorted(train + validation) == list(range(characters))
        assert len(validation) == pytest.approx(characters * fraction, abs=64)
        assert len({segment.predicted for segment in split.validation}) == 1
        assert all(int(segment.ids[1]) == segment.start for segment in (*split.train, *split.validation))
    else:
        assert characters - len(train) - len(validation) < 64 * 62
        assert all(segment.predicted % 60 == 0 for segment in (*split.train, *split.validation))


@pytest.mark.parametrize("kind", ["tail", "blocks", "row-tail"])
def test_enough_text_is_always_split(kind: str) -> None:
    split = split_ids(with_opening(np.arange(64 * 601), -1), kind, 0.1)  # type: ignore[arg-type]
    assert predicted(list(split.validation)) == {"tail": 3_847, "blocks": 3_847, "row-tail": 64 * 60}[kind]


@pytest.mark.parametrize("kind", ["tail", "blocks"])
@pytest.mark.parametrize("characters", [0, 1, 2])
def test_too_few_for_a_tail(characters: int, kind: str) -> None:
    with pytest.raises(CorpusError, match="too few"):
        split_ids(with_opening(np.arange(characters), -1), kind, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("characters", "blocks"), [(30, 1), (39_900, 1), (40_000, 2), (1_000_000, 50), (8_000_000, 64)]
)
def test_blocks_are_scattered_over_the_whole_text(characters: int, blocks: int) -> None:
    split = split_ids(with_opening(np.arange(characters), -1), "blocks", 0.1, 1_000_000)
    assert len(split.validation) == blocks
    stretch = characters / blocks
    for number, block in enumerate(split.validation):
        assert number * stretch - 1 <= block.start <= (number + 1) * stretch - block.predicted + 1
    places = {round(block.start % stretch) for block in split.validation}
    assert blocks < 10 or len(places) > 0.8 * blocks, "not at the same place in each stretch"


def test_too_few_for_rows_says_how_many_are_needed() -> None:
    with pytest.raises(CorpusError, match=r"at least 38,464 characters.*38,463"):
        split_ids(with_opening(np.arange(38_463), -1), "row-tail", 0.1)
    split_ids(with_opening(np.arange(38_464), -1), "row-tail", 0.1)


def test_parts() -> None:
    whole = with_opening(np.arange(5), 7)
    assert whole.ids.tolist() == [7, 0, 1, 2, 3, 4]
    assert whole.predicted == 5
    split = Split([Segment(np.arange(3))], [Segment(np.arange(2))])
    assert split.part("train", whole) is split.train
    assert split.part("validation", whole) is split.validation
    assert list(split.part("all", whole)) == [whole]


@given(st.integers(50_000, 90_000), st.integers(1, 20_000), st.sampled_from(["tail", "blocks", "row-tail"]))
def test_validation_is_bounded(characters: int, at_most: int, kind: str) -> None:
    whole = with_opening(np.arange(characters), -1)
    free = split_ids(whole, kind, 0.1)  # type: ignore[arg-type]
    split = split_ids(whole, kind, 0.1, at_most)  # type: ignore[arg-type]
    train, validation = targets(list(split.train)), targets(list(split.validation))
    assert not set(train) & set(validation)
    assert len(train) + len(validation) == predicted(list(free.train)) + predicted(list(free.validation))
    if kind == "tail":
        assert len(validation) == min(at_most, predicted(list(free.validation)))
    elif kind == "blocks":
        assert 0 <= min(at_most, predicted(list(free.validation))) - len(validation) < 64
    else:
        assert len(validation) <= max(at_most, 64 * 60)
        assert len(validation) > min(at_most, predicted(list(free.validation))) - 64 * 60
        assert len(validation) % (64 * 60) == 0


def test_parts_are_views() -> None:
    whole = with_opening(np.arange(40_000), -1)
    for kind in ("tail", "blocks", "row-tail"):
        split = split_ids(whole, kind, 0.1)
        assert all(np.shares_memory(part.ids, whole.ids) for part in (*split.train, *split.validation))
