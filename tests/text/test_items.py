"""Lists of short items: found by themselves, unique, shuffled, held out whole."""

from __future__ import annotations

from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CorpusError
from charloom.text.items import (
    LONGEST,
    cut_items,
    item_segments,
    join_items,
    looks_like_items,
    newline_id,
    split_items,
    unique_items,
)
from charloom.text.splits import Segment, with_opening
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary

LETTERS = CharacterVocabulary("\nabcdé")
NAMES = "".join(f"{first}{middle}{last}\n" for first in "abcdefghij" for middle in "aeiouxyz" for last in "lmnopqrs")

lists = st.lists(st.text("abcdé", max_size=6), min_size=1, max_size=60).map("\n".join)


def numbered(text: str, vocabulary: Vocabulary = LETTERS) -> Segment:
    return with_opening(vocabulary.encode(text), newline_id(vocabulary))


def lines(segment: Segment, vocabulary: Vocabulary = LETTERS) -> list[str]:
    return vocabulary.decode(segment.ids[1:]).splitlines()


@pytest.mark.parametrize("vocabulary", [LETTERS, ByteVocabulary()])
@given(lists, st.floats(0.05, 0.5))
def test_every_item_is_learned_or_held_out_once(vocabulary: Vocabulary, text: str, fraction: float) -> None:
    different = {line for line in text.split("\n") if line}
    if len(different) < 2:
        with pytest.raises(CorpusError, match="two different lines"):
            split_items(numbered(text, vocabulary), newline_id(vocabulary), fraction)
        return
    split = split_items(numbered(text, vocabulary), newline_id(vocabulary), fraction)
    parts = [lines(part, vocabulary) for (part,) in (split.train, split.validation)]
    assert all(parts)
    assert Counter(parts[0] + parts[1]) == Counter(different)
    held_out = sum(len(vocabulary.encode(line)) + 1 for line in parts[1])
    whole = sum(len(vocabulary.encode(line)) + 1 for line in different)
    longest = max(len(vocabulary.encode(line)) + 1 for line in different)
    assert held_out <= max(fraction * whole, longest) + 1e-9
    assert held_out >= min(fraction * whole, whole) - longest


def test_a_list_is_always_cut_in_the_same_way_and_not_in_its_order() -> None:
    text = "\n".join(f"{first}{second}{third}" for first in "abcd" for second in "abcd" for third in "abcd")
    first, second = (split_items(numbered(text), newline_id(LETTERS), 0.25) for _ in range(2))
    assert lines(first.validation[0]) == lines(second.validation[0])
    assert lines(first.train[0]) == lines(second.train[0]) != sorted(lines(first.train[0]))
    assert len({line[0] for line in lines(first.validation[0])}) > 2, "from everywhere in the list"


def test_no_more_is_held_out_than_the_limit() -> None:
    text = "\n".join(f"{first}{second}{third}" for first in "abcd" for second in "abcd" for third in "abcd")
    assert len(lines(split_items(numbered(text), newline_id(LETTERS), 0.5, 20).validation[0])) == 5


@given(lists)
def test_an_item_has_a_line_end_before_and_after_it(text: str) -> None:
    found = item_segments(numbered(text + "\n"))
    assert [LETTERS.decode(item.ids[1:]) for item in found] == sorted(
        (line + "\n" for line in text.split("\n") if line), key=len
    )
    assert all(item.ids[0] == newline_id(LETTERS) for item in found)


@given(lists)
def test_joined_again_it_is_the_list(text: str) -> None:
    items = cut_items(numbered(text + "\n"))
    if items:
        assert lines(join_items(items)) == [line for line in text.split("\n") if line]


def test_what_is_no_list_is_said() -> None:
    with pytest.raises(CorpusError, match="no line end"):
        newline_id(CharacterVocabulary("abc"))
    with pytest.raises(CorpusError, match="a line of 10,001 characters is no short item"):
        unique_items(numbered("a\n" + "b" * (LONGEST + 1)), newline_id(LETTERS))


@pytest.mark.parametrize("is_list", [True, False])
def test_lists_are_known_by_their_lines(*, is_list: bool) -> None:
    codes = np.random.default_rng(1).integers(10**9, size=800)
    for text in (NAMES, "\n".join(f"AB-{code}.example.org" for code in codes) + "\n", "Nf3\ne4\nO-O-O\n" * 300):
        assert looks_like_items(text if is_list else text[: text.index("\n") * 100]) == is_list


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(topics.values()),
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\n" * 500,
        "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n" * 400,
        "x = 1\n    y = f(x)\n\n" * 500,
        "GATTACA" * 9 + "\n",
        ("GATTACA" * 9 + "\n") * 700,
        "",
        "\n" * 5000,
    ],
)
def test_texts_are_not_taken_for_lists(text: str) -> None:
    assert not looks_like_items(text)
