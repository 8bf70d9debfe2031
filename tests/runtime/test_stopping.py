from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.runtime.rows import Row
from charloom.runtime.stop_texts import StopTexts
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import ByteVocabulary


def naive(text: str, stops: list[str]) -> tuple[str, bool]:
    """Read on until what was read has a stop text, and cut before the first of them."""
    for end in range(1, len(text) + 1):
        places = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if places:
            return text[: min(places)], True
    return text, False


def assemble(text: str, stops: list[str]) -> tuple[list[str], bool]:
    held = StopTexts(stops)
    pieces = [held.release(character) for character in text]
    return [*pieces, held.rest()], held.met


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one\ntwo", ["\n"], "one"),
        ("one\n\ntwo", ["\n\n"], "one"),
        ("one\ntwo", ["\n\n"], "one\ntwo"),
        ("one\n", ["\n\n"], "one\n"),  # what was held back is given at the end
        ("aab", ["ab"], "a"),  # the stop begins inside what looked like one
        ("ababac", ["abac"], "ab"),
        ("xSTOPy", ["TO", "STOP"], "xS"),  # TO is whole first
        ("xSTOPy", ["STOP", "OPy"], "x"),
        ("xaby", ["ab", "b"], "x"),  # whole at once: the one that begins first
        ("abc", ["abc"], ""),
        ("ab", ["abc"], "ab"),
    ],
)
def test_stops(text: str, stops: list[str], expected: str) -> None:
    pieces, stopped = assemble(text, stops)
    assert "".join(pieces) == expected
    assert stopped == (expected != text)


def test_text_is_released_as_soon_as_it_is_certain() -> None:
    pieces, _ = assemble("so it ends", ["it is"])
    assert pieces == ["s", "o", " ", "", "", "", "it e", "n", "d", "s", ""]


def test_nothing_comes_after_a_stop() -> None:
    pieces, stopped = assemble("a.b.c", ["."])
    assert stopped
    assert pieces == ["a", "", "", "", "", ""]


few = st.text(alphabet="ab\n", max_size=40)
short = st.text(alphabet="ab\n", min_size=1, max_size=5)


@given(few, st.lists(short, min_size=1, max_size=4))
def test_pieces_are_the_whole_text_cut(text: str, stops: list[str]) -> None:
    pieces, stopped = assemble(text, stops)
    assert ("".join(pieces), stopped) == naive(text, stops)


texts = st.text("aé€😀", min_size=1, max_size=20)


@given(texts, st.lists(st.text("aé€😀", min_size=1, max_size=3), max_size=2))
def test_bytes_are_cut_as_characters_are(text: str, stops: list[str]) -> None:
    assert row_of_bytes(text.encode(), stops) == naive(text, stops)


def test_half_a_character_at_the_end_is_left_out() -> None:
    assert row_of_bytes("a€".encode()[:-1], []) == ("a", False)


def row_of_bytes(content: bytes, stops: list[str]) -> tuple[str, bool]:
    """The text of a row that writes these bytes, and whether it ended at a stop text."""
    row, pieces = Row(ByteVocabulary(), SamplingSettings(length=len(content), stop=stops), seed=0), []
    for byte in content:
        pieces.append(row.push(byte))
        if row.finish_reason is not None:
            break
    return "".join(pieces), row.finish_reason == "stop"
