from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from charloom.text.lines import Line, split_lines, split_live_lines


def whole(line: Line) -> str:
    return line.text + "".join(line.rest or ())


@given(st.lists(st.text("ab\n\u2028", max_size=6)), st.integers(0, 8))
def test_lines_are_those_of_the_whole_text(pieces: list[str], longest: int) -> None:
    text = "".join(pieces)
    expected = text.split("\n")
    if not expected[-1]:
        expected.pop()
    assert [whole(line) for line in split_lines(pieces, longest)] == expected
    begun = list(split_lines(pieces, longest))
    assert len(begun) == len(expected), "what is not read of a long line is passed over"
    for line, full in zip(begun, expected, strict=True):
        assert full.startswith(line.text)
        assert line.rest is not None or line.text == full


def test_an_empty_piece_is_a_pause_between_lines() -> None:
    pieces = ["one\ntw", "", "o\n", "", "", "three"]
    assert list(split_live_lines(pieces, 100)) == [Line("one"), None, Line("two"), None, None, Line("three")]
    assert list(split_lines(pieces, 100)) == [Line("one"), Line("two"), Line("three")]


def test_a_line_without_end_is_never_held() -> None:
    taken = 0

    def endless() -> list[str]:
        nonlocal taken
        taken += 1
        return ["x" * 100]

    pieces = (piece for _ in iter(int, 1) for piece in endless())
    line = next(split_lines(pieces, 1000))
    assert len(line.text) == 1100
    assert line.rest is not None
    assert list(islice(line.rest, 5)) == ["x" * 100] * 5
    assert taken == 16
