"""The steps in pieces against what each does to a whole text, written down independently."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charloom.errors import CorpusError
from charloom.text.cleaning import STEPS, clean, clean_pieces

WHOLE: dict[str, Callable[[str], str]] = {
    "gutenberg": lambda text: text,  # no header and no licence is in these texts
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "lowercase": str.lower,
    "mask-numbers": lambda text: re.sub(r"[^ \t\n]*[0-9][^ \t\n]*", "0", text),
    "drop-speaker-lines": lambda text: "\n".join(line for line in text.split("\n") if ":" not in line),
    "drop-empty-lines": lambda text: "\n".join(line for line in text.split("\n") if line),
    "join-lines": lambda text: text.replace("\n", " "),
}

# Letters that compose, marks of several classes, sigmas, what a sigma looks over, Hangul parts, lone bytes.
ALPHABET = "aAeE1 \t\n\n::.'\u00b7\u00adΣσςΑα\u0301\u0323\u0345\u0308\u3099か\u1100\u1161\u11a8世。々\u0130\udc80\ufeff"
texts = st.text(ALPHABET, max_size=60) | st.text(max_size=30)
steps = st.lists(st.sampled_from(sorted(WHOLE)), max_size=4)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return [*pieces, text[start:]]


def test_every_step_has_its_counterpart_here() -> None:
    assert set(WHOLE) == set(STEPS)


@given(texts, steps, st.lists(st.integers(0, 7), max_size=20))
@example("ΑΣ'\u00ad' Α", ["lowercase"], [2, 1])
@example("a\n\n\nb\n", ["drop-empty-lines"], [2, 1])
@example("\n", ["drop-speaker-lines", "drop-empty-lines"], [0, 0])
@example("e\u0323\u0301 e", ["nfc"], [1, 1])
def test_where_a_text_is_cut_makes_no_difference(text: str, names: list[str], sizes: list[int]) -> None:
    expected = text
    for name in names:
        expected = WHOLE[name](expected)
    assert "".join(clean_pieces(cut(text, sizes), names)) == expected
    assert clean(text, names) == expected


@given(st.text("abcAΣ", min_size=1, max_size=40), st.integers(1, 5))
def test_a_text_without_spaces(text: str, size: int) -> None:
    pieces = cut(text, [size] * 40)
    assert "".join(clean_pieces(pieces, ["lowercase", "nfc"])) == text.lower()


@pytest.mark.parametrize("step", ["nfc", "lowercase", "mask-numbers", "drop-speaker-lines"])
def test_a_stretch_without_an_end_is_refused(step: str) -> None:
    pieces = ["Σ" * 10] * 10
    assert "".join(clean_pieces(pieces, [step], 100)) == WHOLE[step]("Σ" * 100)
    with pytest.raises(CorpusError, match="more than 99 characters") as caught:
        list(clean_pieces(pieces, [step], 99))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("piece", ["ACGT", "吾輩は猫である", "Σ Σ "])
def test_a_long_stretch_that_can_be_cut_is_not_held(piece: str) -> None:
    pieces = [piece] * 100
    assert "".join(clean_pieces(pieces, ["nfc", "lowercase"], 20)) == (piece * 100).lower()


def test_a_line_is_not_held_once_its_colon_was_seen() -> None:
    assert "".join(clean_pieces(["a:", *["b" * 10] * 10, "\nc"], ["drop-speaker-lines"], 20)) == "c"
