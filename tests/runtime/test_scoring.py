from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import charloom
from charloom import Score
from charloom.errors import ModelDirectoryError
from charloom.runtime import scored_files, scores, scoring, side_by_side
from charloom.runtime.scored_files import in_memory, line_in_memory
from charloom.runtime.scores import NatsTotal
from charloom.runtime.scoring import Scorer, Text
from charloom.runtime.side_by_side import nats_of_texts
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Ids, Vocabulary
from tests.fakes import FakeSession, uniform

LETTERS = CharacterVocabulary("\nabc")
Texts = list[str]


def score(token: int, count: int) -> list[float]:
    """Scores that tell how long the state has lived and what was read last."""
    return [math.sin(count * 0.1 + token * letter) for letter in range(5)]


def by_hand(text: str, vocabulary: Vocabulary = LETTERS) -> float:
    """The nats of a text after a newline: a plain loop over its characters."""
    nats = 0.0
    ids = [vocabulary.opening_id, *vocabulary.encode(text).tolist()]
    for count, (read, target) in enumerate(pairwise(ids), start=1):
        scores = score(read, count)
        nats += math.log(math.fsum(math.exp(value) for value in scores)) - scores[target]
    return nats


def scores_of(texts: Iterable[str], *, per_char: bool = False, cleaning: tuple[str, ...] = ()) -> list[Score]:
    scorer = Scorer(FakeSession(5, score), LETTERS, cleaning, per_char=per_char)
    return list(scorer.in_turn(map(in_memory, texts)))


def streams(texts: Texts, sizes: list[int]) -> Iterator[Iterator[Ids]]:
    """Each text's ids in stretches of the given sizes, round and round."""
    for text in texts:
        ids = LETTERS.encode(text)
        ends = np.cumsum(np.resize(sizes, len(ids) + 1))
        yield iter(np.split(ids, ends[ends < len(ids)]))


@given(st.lists(st.text("abc\nx", max_size=30), max_size=12), st.integers(1, 5), st.integers(1, 50), st.data())
def test_every_text_costs_what_it_costs_by_hand(texts: Texts, rows: int, positions: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    totals = [NatsTotal() for _ in texts]
    ended: list[int] = []
    session = FakeSession(5, score)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "_POSITIONS", positions)
        for number, nats in nats_of_texts(session, LETTERS.opening_id, streams(texts, sizes), rows):
            if nats is None:
                ended.append(number)
            else:
                totals[number].add(nats)
    assert sorted(ended) == list(range(len(texts)))
    for text, total in zip(texts, totals, strict=True):
        assert total.nats == pytest.approx(by_hand(text), abs=1e-5)
    assert all(time * width <= positions for time, width in session.runs)
    assert all(width <= rows for _, width in session.runs)


@given(st.lists(st.text("abc\nx", max_size=40), max_size=20))
def test_scores_keep_the_order_and_count(texts: Texts) -> None:
    found = scores_of(texts)
    assert [one.text for one in found] == texts
    for text, one in zip(texts, found, strict=True):
        assert one.characters == len(text)
        assert one.unknown == text.count("x")
        assert one.nats == pytest.approx(by_hand(text), abs=1e-5)
        if text:
            assert one.bits_per_char == pytest.approx(one.nats / math.log(2) / len(text))
        else:
            assert (one.nats, one.bits_per_char) == (0, None)


def test_a_uniform_model_charges_the_logarithm_of_its_vocabulary() -> None:
    (one,) = Scorer(uniform(8), CharacterVocabulary("\nabcdef"), ()).in_turn([in_memory("fade\n")])
    assert one.bits_per_char == pytest.approx(3)
    assert one.nats == pytest.approx(15 * math.log(2))


def test_windows_and_long_texts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abc\n"), size)) for size in (5, 0, 90, 12, 31, 200, 7, 29, 1, 64, 3)]
    whole = scores_of(texts, per_char=True)
    monkeypatch.setattr(scoring, "_WINDOW_LINES", 3)
    assert scores_of(texts) == [Score(**{**vars(one), "per_char": None}) for one in whole]
    monkeypatch.setattr(scoring, "_WINDOW_CHARACTERS", 50)
    assert scores_of(texts, per_char=True) == whole
    monkeypatch.setattr(scored_files, "LONGEST", 30)
    monkeypatch.setattr(scored_files, "_CHUNK", 8)
    cut = scores_of(texts)
    assert [one.nats for one in cut] == [one.nats for one in whole]
    assert [one.text for one in cut] == [text[:30] for text in texts]


def test_texts_are_taken_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_WINDOW_LINES", 4)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "abc"

    found = Scorer(uniform(5), LETTERS, ()).in_turn(map(in_memory, endless()))
    for _ in range(6):
        next(found)
    assert taken == 8


def test_large_texts_side_by_side_come_in_their_order() -> None:
    rng = np.random.default_rng(2)
    texts = ["".join(rng.choice(list("abc"), size)) for size in (9000, 3, 0, 5000, 1, 20)]
    pieces = [Text([text[at : at + 100] for at in range(0, len(text), 100)], file=f"f{len(text)}") for text in texts]
    session = FakeSession(5, score)
    found = list(Scorer(session, LETTERS, ()).side_by_side(pieces))
    assert [one.file for one in found] == ["f9000", "f3", "f0", "f5000", "f1", "f20"]
    for text, one in zip(texts, found, strict=True):
        assert one.text is None
        assert one.nats == pytest.approx(by_hand(text), abs=1e-2)
    assert max(width for _, width in session.runs) == 5, "the empty one takes no row"


@given(st.lists(st.floats(0, 1e6, width=32), max_size=300), st.integers(1, 40))
def test_a_total_is_the_same_however_it_comes(values: list[float], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "_BLOCK", 64)
        nats = np.array(values)
        pieces, at_once = NatsTotal(), NatsTotal()
        at_once.add(nats)
        for start in range(0, len(nats), size):
            pieces.add(nats[start : start + size])
        assert pieces.nats == at_once.nats == pytest.approx(math.fsum(values))


def test_cleaning_of_single_characters_is_applied_and_the_text_shown_is_the_users() -> None:
    (one,) = scores_of(["A: B\u0301\nC"], per_char=True, cleaning=("drop-speaker-lines", "lowercase", "join-lines"))
    assert one.text == "A: B\u0301\nC"
    assert one.per_char is not None
    assert "".join(letter for letter, _ in one.per_char) == "a: b\u0301 c"
    assert (one.characters, one.unknown) == (7, 4)  # the vocabulary has neither colon, space nor accent


def test_each_character_has_its_bits() -> None:
    (one, empty) = scores_of(["abxc", ""], per_char=True)
    assert one.per_char is not None
    for end, (letter, _) in enumerate(one.per_char, start=1):
        assert letter == "abxc"[end - 1]
        sofar = math.fsum(bits for _, bits in one.per_char[:end])
        assert sofar == pytest.approx(by_hand("abxc"[:end]) / math.log(2), abs=1e-5)
    assert empty.per_char == ()


@given(st.text(st.characters(codec=None), max_size=20))
def test_bytes_are_counted_as_characters(text: str) -> None:
    scorer = Scorer(uniform(256), ByteVocabulary(), (), per_char=True)
    (one,) = scorer.in_turn([in_memory(text)])
    utf8_bytes = len(ByteVocabulary().encode(text))
    assert one.characters == len(text)
    assert one.nats == pytest.approx(utf8_bytes * math.log(256))
    assert one.per_char is not None
    assert [letter for letter, _ in one.per_char] == list(text)
    surrogates = [0xD800 <= ord(letter) <= 0xDFFF for letter in text]
    widths = [1 if odd else len(letter.encode()) for letter, odd in zip(text, surrogates, strict=True)]
    assert [bits for _, bits in one.per_char] == pytest.approx([8 * width for width in widths])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.lists(st.text("the quick\nTHEé,.", min_size=1, max_size=80), min_size=2, max_size=100), st.randoms())
def test_int8_bits_are_the_same_alone_and_in_company(trained: Path, texts: Texts, random: object) -> None:
    model = charloom.load(trained, precision="int8")
    together = list(model.score_texts(texts))
    reverse = list(model.score_texts(reversed(texts)))[::-1]
    assert together == reverse
    for place in (0, len(texts) // 2, -1):
        assert model.score(texts[place]) == together[place]


def test_int8_is_within_half_a_percent_of_float32(trained: Path, small_text: Path) -> None:
    lines = small_text.read_text("utf-8").splitlines()
    totals = [
        math.fsum(one.nats for one in charloom.load(trained, precision=precision).score_texts(lines))
        for precision in ("int8", "float32")
    ]
    assert totals[0] == pytest.approx(totals[1], rel=0.005)
    assert totals[0] != totals[1]


@given(st.lists(st.text("abcx", max_size=30), max_size=12))
def test_the_end_of_a_line_is_charged(lines: Texts) -> None:
    scorer = Scorer(FakeSession(5, score), LETTERS, (), per_char=True)
    found = list(scorer.in_turn(map(line_in_memory, lines)))
    assert found == [replace(one, text=text) for one, text in zip(scores_of_ended(lines), lines, strict=True)]
    for text, one in zip(lines, found, strict=True):
        whole, open_end = by_hand(text + "\n"), by_hand(text)
        assert one.characters == len(text) + 1
        assert one.nats == pytest.approx(whole, abs=1e-5)
        assert one.end_bits == pytest.approx((whole - open_end) / math.log(2), abs=1e-5)
        assert one.per_char is not None
        assert [letter for letter, _ in one.per_char] == [*text, "\n"]
        assert one.worst_bits == pytest.approx(max(bits for _, bits in one.per_char))


def scores_of_ended(lines: Texts) -> list[Score]:
    """Lines that have their line ends already cost the same."""
    scorer = Scorer(FakeSession(5, score), LETTERS, (), per_char=True)
    return list(scorer.in_turn(line_in_memory(line + "\n") for line in lines))


@pytest.mark.parametrize(("characters", "cleaning"), [("abc", ()), ("\n abc", ("join-lines",))])
def test_where_texts_have_no_line_ends_none_is_charged(characters: str, cleaning: tuple[str, ...]) -> None:
    vocabulary = CharacterVocabulary(characters)
    scorer = Scorer(uniform(vocabulary.size), vocabulary, cleaning)
    line, empty = scorer.in_turn(map(line_in_memory, ["abc", ""]))
    assert (line.characters, line.end_bits) == (3, None)
    assert line.worst_bits == pytest.approx(math.log2(vocabulary.size))
    assert (empty.characters, empty.bits_per_char, empty.worst_bits) == (0, None, None)


@given(st.lists(st.text("aü☃😀", min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 7))
def test_the_costliest_character_of_bytes_is_a_whole_one(lines: Texts, positions: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "_POSITIONS", positions)
        scorer = Scorer(uniform(256), ByteVocabulary(), ())
        for text, one in zip(lines, scorer.in_turn(map(line_in_memory, lines)), strict=True):
            assert one.worst_bits == pytest.approx(8 * max(len(letter.encode()) for letter in text))
            assert one.end_bits == pytest.approx(8)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text() -> None:
    piece = "abc\n" * 4000

    def peak(pieces: int, *, long_line: bool) -> int:
        session = _Instant(5)
        tracemalloc.start()
        if long_line:
            texts = iter([Text("abc" * 5000 for _ in range(pieces))])
        else:
            texts = (in_memory(line) for _ in range(pieces) for line in piece.split("\n"))
        for _ in Scorer(session, LETTERS, ()).in_turn(texts):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(30, long_line=True) < 1.1 * peak(10, long_line=True)
    assert peak(6, long_line=False) < 1.1 * peak(3, long_line=False)


class _Instant(FakeSession):
    """A uniform model that costs no time."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size, lambda token, count: [])

    def run(self, ids: Ids, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        return np.zeros((*ids.shape, self.shape.vocab_size), dtype=np.float32), state


def test_a_network_too_wide_for_many_rows_is_read_in_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_NUMBERS", 64)
    session = uniform(32)
    found = list(Scorer(session, LETTERS, ()).in_turn(map(in_memory, ["ab", "c", "abc"])))
    assert [one.nats for one in found] == pytest.approx([5 * math.log(2) * size for size in (2, 1, 3)])
    assert all(time * width <= 2 for time, width in session.runs)


def test_what_occurs_again_is_read_once() -> None:
    session = FakeSession(5, score)
    found = list(Scorer(session, LETTERS, ()).in_turn(map(in_memory, ["ab", "abc", "ab", "", "ab"])))
    assert found[0] == found[2] == found[4]
    assert found[0].nats == pytest.approx(by_hand("ab"), abs=1e-5)
    assert session.runs == [(3, 2)]


def test_a_network_without_an_answer_is_an_error() -> None:
    broken = FakeSession(5, lambda token, count: [math.nan] * 5)
    with pytest.raises(ModelDirectoryError, match="gives no number"):
        list(Scorer(broken, LETTERS, ()).in_turn([in_memory("ab")]))
