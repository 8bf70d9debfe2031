from __future__ import annotations

import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import ModelDirectoryError
from charloom.text.vocabulary import (
    UNKNOWN_TEXT,
    ByteVocabulary,
    CharacterCounts,
    CharacterVocabulary,
    Vocabulary,
    vocabulary_from_json,
)

SCRIPTS = {
    "ascii": "The quick brown fox.\n\tOver & out \x00\x7f",
    "latin": "Zoë à l'école, straße",
    "cjk": "吾輩は猫である。名前はまだ無い。",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🎉",
    "combining": "e\u0301 n\u0303 o\u0308\u0304",
    "right-to-left": "שלום עולם مرحبا بالعالم",
    "astral": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff",
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_every_script_comes_back(text: str) -> None:
    vocabulary = CharacterVocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert ByteVocabulary().decode(ByteVocabulary().encode(text)) == text


@given(st.text())
def test_round_trip(text: str) -> None:
    vocabulary = CharacterVocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert len(ids) == len(text)
    assert 0 not in ids
    assert vocabulary.decode(ids) == text
    decode = vocabulary.decoder()
    assert "".join(decode(int(token)) for token in ids) == text


@given(st.text())
def test_bytes_round_trip(text: str) -> None:
    vocabulary = ByteVocabulary()
    ids = vocabulary.encode(text)
    assert bytes(ids.tolist()) == text.encode()
    assert vocabulary.decode(ids) == text
    decode = vocabulary.decoder()
    assert "".join(decode(int(token)) for token in ids) == text


@given(st.text(), st.text())
def test_encoding_is_the_naive_loops(known: str, text: str) -> None:
    vocabulary = CharacterVocabulary.from_text(known)
    numbers = {character: number for number, character in enumerate(sorted(set(known)), start=1)}
    assert vocabulary.size == len(numbers) + 1
    assert vocabulary.encode(text).tolist() == [numbers.get(character, 0) for character in text]
    assert vocabulary.unknown_characters(text) == sorted(set(text) - set(known))
    shown = "".join(character if character in numbers else UNKNOWN_TEXT for character in text)
    assert vocabulary.decode(vocabulary.encode(text)) == shown


@given(st.text(alphabet="abc", max_size=30), st.integers(1, 5))
def test_min_count(text: str, least: int) -> None:
    expected = tuple(character for character in "abc" if text.count(character) >= least)
    assert CharacterVocabulary.from_text(text, least).characters == expected


@given(st.lists(st.text() | st.text("a \x00\x7f\x80\udcff", max_size=9), max_size=5))
def test_counts_are_those_of_a_counter(pieces: list[str]) -> None:
    counts = CharacterCounts()
    for piece in pieces:
        counts.add(piece)
    expected = Counter("".join(pieces))
    assert counts.total == expected.total()
    assert counts.distinct == sorted(expected)
    assert {character: counts.by_code[ord(character)] for character in expected} == expected


def test_more_characters_than_a_byte_counts() -> None:
    """254 to 257 characters: the ids' width changes, nothing else may."""
    for count in (254, 255, 256, 257, 5000):
        text = "".join(chr(0x4E00 + index) for index in range(count))
        vocabulary = CharacterVocabulary.from_text(text)
        assert vocabulary.encode(text).tolist() == list(range(1, count + 1))
        assert vocabulary.decode(vocabulary.encode(text)) == text
        assert vocabulary.encode("a").tolist() == [0]


def test_a_long_text_is_encoded_in_chunks_without_a_seam() -> None:
    text = "абв" * 700_000  # 2.1 million characters, chunks are of 2**20, which 3 does not divide
    vocabulary = CharacterVocabulary.from_text(text)
    assert vocabulary.characters == ("а", "б", "в")
    np.testing.assert_array_equal(vocabulary.encode(text), np.tile([1, 2, 3], 700_000))


def test_a_character_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        CharacterVocabulary("abca")


@pytest.mark.parametrize("text", ["the quick brown fox jumps ", "жил-был у бабушки 😀 козлик "])
def test_a_million_characters_need_no_python_loop(text: str) -> None:
    text = (text * 50_000)[:1_000_000]
    vocabulary = CharacterVocabulary.from_text(text)
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        ids = vocabulary.encode(text)
    finally:
        sys.settrace(before)
    assert lines < 1_000, "lines of Python that were run"
    assert "".join(vocabulary.characters[number - 1] for number in ids[:1000]) == text[:1000]


def test_bytes_decoder_holds_back_what_is_not_whole() -> None:
    decode = ByteVocabulary().decoder()
    assert [decode(byte) for byte in "a€😀".encode()] == ["a", "", "", "€", "", "", "", "😀"]
    assert decode(0xE2) == ""
    assert decode(0x41) == "\ufffdA"  # what can never become whole is shown as what it is
    assert decode(0xFF) == "\ufffd"


def test_bytes_vocabulary_gives_damaged_bytes_back() -> None:
    text = b"a\xffb".decode("utf-8", "surrogateescape")
    assert ByteVocabulary().encode(text).tolist() == [0x61, 0xFF, 0x62]
    assert ByteVocabulary().encode("\ud800").tolist() == [ord("?")]


@pytest.mark.parametrize(
    ("vocabulary", "text", "opening"),
    [
        (CharacterVocabulary(" \nab"), "", "\n"),
        (CharacterVocabulary(" ab"), "", " "),
        (ByteVocabulary(), "", "\n"),
    ],
)
def test_opening(vocabulary: Vocabulary, text: str, opening: str) -> None:
    assert vocabulary.decode(np.array([vocabulary.opening_id])) == opening


def test_opening_without_newline_and_space_is_the_unknown() -> None:
    assert CharacterVocabulary("ab").opening_id == 0


@given(st.text())
def test_characters_and_bytes(text: str) -> None:
    expected = (len(text), len(text.encode()))
    vocabulary = CharacterVocabulary.from_text(text)
    assert vocabulary.characters_and_bytes(vocabulary.encode(text)) == expected
    assert ByteVocabulary().characters_and_bytes(ByteVocabulary().encode(text)) == expected


def test_bytes_of_unknown_characters_are_not_known() -> None:
    vocabulary = CharacterVocabulary("ab")
    assert vocabulary.characters_and_bytes(vocabulary.encode("abc")) == (3, None)


@given(st.text(min_size=1))
def test_json_round_trip(text: str) -> None:
    vocabulary = CharacterVocabulary.from_text(text)
    again = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert isinstance(again, CharacterVocabulary)
    assert again.characters == vocabulary.characters
    np.testing.assert_array_equal(again.encode(text), vocabulary.encode(text))


def test_bytes_json_round_trip() -> None:
    assert isinstance(vocabulary_from_json(ByteVocabulary().to_json()), ByteVocabulary)


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        [],
        "characters",
        {},
        {"kind": "pickle"},
        {"kind": ["characters"]},
        {"kind": "characters"},
        {"kind": "characters", "characters": None},
        {"kind": "characters", "characters": []},
        {"kind": "characters", "characters": "abc"},
        {"kind": "characters", "characters": ["a", "b"]},
        {"kind": "characters", "characters": [None, 1]},
        {"kind": "characters", "characters": [None, "ab"]},
        {"kind": "characters", "characters": [None, ""]},
        {"kind": "characters", "characters": [None, "a", None]},
        {"kind": "characters", "characters": [None, "a", "a"]},
        {"kind": "characters", "characters": [None, "\ud800"]},
        {"kind": "characters", "characters": {"0": None}},
    ],
)
def test_hostile_json(hostile: object) -> None:
    with pytest.raises(ModelDirectoryError, match=r"vocabulary\.json"):
        vocabulary_from_json(hostile)
