from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charloom.runtime.novelty import BARRIER, CopyFinder, Matches

texts = st.lists(st.integers(0, 2), max_size=40)


def matches(examined: list[int], *stretches: list[int], piece: int = 1000) -> Matches:
    finder = CopyFinder(examined)
    place = 0
    for stretch in stretches:
        pieces = [np.array(stretch[at : at + piece], dtype=np.uint8) for at in range(0, len(stretch), piece)]
        finder.read(pieces, place)
        place += len(stretch)
    return finder.matches()


def longest_ending(examined: list[int], end: int, stretches: list[list[int]]) -> int:
    """By trying every start."""
    for start in range(end + 1):
        wanted = examined[start : end + 1]
        for stretch in stretches:
            if any(stretch[at : at + len(wanted)] == wanted for at in range(len(stretch) - len(wanted) + 1)):
                return len(wanted)
    return 0


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_by_hand() -> None:
    found = matches(ids("xabcdy"), ids("zabc bcdz"))
    assert found.lengths.tolist() == [0, 1, 2, 3, 3, 0]  # "", a, ab, abc, bcd, ""
    assert found.ends.tolist() == [-1, 1, found.ends[2], 3, 7, -1]
    assert found.maximal().tolist() == [3, 4]
    assert [found.covered(length) for length in (1, 3, 4)] == [4, 4, 0]


def test_nothing_to_find() -> None:
    assert matches([], ids("abc")).lengths.tolist() == []
    found = matches(ids("abc"), ids("xyz"))
    assert found.lengths.tolist() == [0, 0, 0]
    assert found.maximal().tolist() == []
    assert found.covered(1) == 0
    assert matches(ids("abc")).lengths.tolist() == [0, 0, 0]


def test_a_text_in_itself_is_one_copy() -> None:
    text = ids("to be or not to be ") * 30
    found = matches(text, text)
    assert found.lengths.tolist() == list(range(1, len(text) + 1))
    assert found.maximal().tolist() == [len(text) - 1]
    assert found.covered(len(text)) == len(text)


def test_no_copy_reaches_over_a_barrier_or_from_one_stretch_into_the_next() -> None:
    assert matches([*ids("ab"), BARRIER, *ids("cd")], ids("abcd")).lengths.tolist() == [1, 2, 0, 1, 2]
    assert matches(ids("abcd"), ids("ab"), ids("cd")).lengths.tolist() == [1, 2, 1, 2]
    assert matches(ids("abcd"), ids("ab"), ids("cd")).ends.tolist() == [0, 1, 2, 3]


@given(texts, st.lists(texts, max_size=3), st.integers(1, 7))
def test_every_place_as_a_naive_search_finds_it(examined: list[int], stretches: list[list[int]], piece: int) -> None:
    found = matches(examined, *stretches, piece=piece)
    expected = [longest_ending(examined, end, stretches) for end in range(len(examined))]
    assert found.lengths.tolist() == expected
    corpus = [token for stretch in stretches for token in stretch]
    for end, (length, place) in enumerate(zip(found.lengths.tolist(), found.ends.tolist(), strict=True)):
        if length:
            assert corpus[place - length + 1 : place + 1] == examined[end - length + 1 : end + 1]
        else:
            assert place == -1


@given(texts, texts, st.integers(1, 6))
def test_coverage_and_longest_copies_as_a_naive_search_finds_them(
    examined: list[int], corpus: list[int], at_least: int
) -> None:
    found = matches(examined, corpus)
    substrings = {tuple(corpus[a:b]) for a in range(len(corpus)) for b in range(a + 1, len(corpus) + 1)}
    copies = [
        (start, end)
        for start in range(len(examined))
        for end in range(start + 1, len(examined) + 1)
        if tuple(examined[start:end]) in substrings
    ]
    covered = {place for start, end in copies if end - start >= at_least for place in range(start, end)}
    assert found.covered(at_least) == len(covered)
    lasting = {
        (start, end) for start, end in copies if (start - 1, end) not in copies and (start, end + 1) not in copies
    }
    assert {(int(end - found.lengths[end] + 1), int(end) + 1) for end in found.maximal()} == lasting
