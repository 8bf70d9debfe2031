"""Lists of short items: found by themselves, unique, shuffled, held out whole."""

from __future__ import annotations

import random
from collections import Counter
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import CorpusError
from charloom.text.items import (
    LONGEST,
    item_segments,
    longest_line,
    looks_like_items,
    newline_id,
    split_items,
    unique_items,
)
from charloom.text.splits import Segment, with_opening
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary

LETTERS = CharacterVocabulary("\nabcdé")
NAMES = "".join(
    f"{first}{middle}{last}\n"
    for first in "abcdefghij"
    for middle in "aeiouxyz"
    for last in ("l", "m", "no", "pqr", "")
)

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
def test_unique_they_are_in_the_order_of_the_list(text: str) -> None:
    different = list(dict.fromkeys(line for line in text.split("\n") if line))
    if len(different) > 1:
        assert lines(unique_items(numbered(text), newline_id(LETTERS))) == different
    assert longest_line(numbered(text).ids[1:], newline_id(LETTERS)) == max(map(len, text.split("\n")))


def test_an_item_without_a_line_end_after_it_is_one() -> None:
    assert [LETTERS.decode(item.ids) for item in item_segments(numbered("ab\n\nc"))] == ["\nc", "\nab\n"]


def test_what_is_no_list_is_said() -> None:
    with pytest.raises(CorpusError, match="no line end is among"):
        newline_id(CharacterVocabulary("abc"))
    with pytest.raises(CorpusError, match="a line of 10,001 characters is no short item: 10,000 is the most"):
        unique_items(numbered("a\n" + "b" * (LONGEST + 1)), newline_id(LETTERS))


def is_list(text: str) -> bool:
    known = CharacterVocabulary("".join(sorted(set(text) or "a")))
    assert looks_like_items(ByteVocabulary().encode(text), ByteVocabulary()) == looks_like_items(
        known.encode(text), known
    )
    return looks_like_items(known.encode(text), known)


CODES = "".join(f"AB-{10**9 // code**2}.example.org\n" for code in range(1, 800))
WORDS = "".join(
    sorted({f"{word.strip('.,')}\n" for text in topics.values() for word in text.split() if word.isalpha()})
)


@pytest.mark.parametrize("text", [NAMES * 2, CODES, WORDS, NAMES + CODES], ids=str.__len__)
def test_lists_are_known_by_their_lines(text: str) -> None:
    assert is_list(text)
    assert not is_list(text[: text.index("\n") * 100]), "a short one is not"


PROSE = "\n".join(topics.values())
DRAW = random.Random(4)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\n" * 500,
        "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n" * 400,
        "".join(f"{''.join(DRAW.choices('床前明月光疑是地上霜举头望低思故乡', k=7))}\n" for _ in range(2000)),
        "x = 1\n    y = f(x)\n\n" * 500,
        "".join(f"{''.join(DRAW.choices('ACGT', k=40))}\n" for _ in range(2000)),
        "".join(f"{''.join(DRAW.choices('ABCabc012+/', k=36))}\n" for _ in range(2000)),
        "".join(f"{place},{place * place},{place % 7}\n" for place in range(2000)),
        "".join(f"{20 + DRAW.gauss(0, 2):.1f}\n" for _ in range(5000)),
        "".join(f"{word}\n" for word in PROSE.split()),
        "Same\n" * 5000,
        CODES * 40 + NAMES,
        NAMES * 60 + "\n" + PROSE,
        WORDS * 9 + PROSE,
        "",
        "\n" * 5000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_texts_are_not_taken_for_lists(text: str) -> None:
    assert not is_list(text)
