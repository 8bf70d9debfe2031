from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charloom
from charloom.errors import CorpusError, UsageError
from charloom.events import Event, Notice
from charloom.runtime import recitation
from charloom.runtime.recitation import Recitation, ReciteSettings, greedy, passages_in, recite
from charloom.text.splits import Segment, split_ids, with_opening
from charloom.text.vocabulary import CharacterVocabulary
from tests.fakes import FakeSession, cycle

LETTERS = CharacterVocabulary("abcd")


def segment(text: str, start: int = 0) -> Segment:
    return Segment(with_opening(LETTERS.encode(text), 4).ids, start)


def recited(*segments: Segment, **settings: int) -> Recitation:
    return recite(cycle(5), LETTERS, segments, ReciteSettings(**settings))


def test_what_is_known_is_recited() -> None:
    found = recited(segment("abcd" * 50), prompt_length=3, length=8, samples=20)
    assert (found.samples, found.exact, found.exact_fraction, found.mean_matched) == (20, 20, 1.0, 8.0)
    assert found.failed is None
    assert found.recited is not None
    assert found.recited.written == found.recited.expected
    assert ("abcd" * 50)[found.recited.offset :].startswith(found.recited.prompt + found.recited.expected)


def test_every_passage_by_hand() -> None:
    # Passages of 2 + 3 from "abcdabba": ab|cda 3 of 3, bc|dab 3, cd|abb 2 (c is due), da|bba 1.
    found = recited(segment("abcdabba"), prompt_length=2, length=3, samples=4)
    assert found.exact == 2
    assert found.exact_fraction == 0.5
    assert found.mean_matched == (3 + 3 + 2 + 1) / 4
    assert found.failed is not None
    assert (found.failed.offset, found.failed.prompt, found.failed.expected) == (2, "cd", "abb")
    assert (found.failed.written, found.failed.matched) == ("abc", 2)


def test_a_character_matched_after_a_fault_does_not_count() -> None:
    found = recited(segment("abda"), prompt_length=1, length=3, samples=1)
    assert found.mean_matched == 1  # b is right, then c d against d a


def test_places_are_drawn_once_each_and_lie_within_a_segment() -> None:
    segments = [segment("abcdab", start=100), segment("a"), segment("cdabcda", start=300)]
    assert passages_in(segments, 6) == 3
    seen = set()
    for seed in range(20):
        found = recited(*segments, prompt_length=2, length=4, samples=1, seed=seed)
        assert found.exact == 1
        assert found.recited is not None
        seen.add((found.recited.offset, found.recited.prompt))
    assert seen == {(100, "ab"), (300, "cd"), (301, "da")}
    assert recited(*segments, prompt_length=2, length=4, samples=3).exact == 3


def test_the_split_says_where_its_segments_begin() -> None:
    text = "abcd" * 16_000
    whole = with_opening(LETTERS.encode(text), 4)
    for kind in ("tail", "row-tail"):
        cut = split_ids(whole, kind, 0.1)
        for part in (*cut.train, *cut.validation):
            assert LETTERS.decode(part.ids[1:]) == text[part.start : part.start + part.predicted]


def test_an_unknown_character_is_never_recited() -> None:
    always_unknown = FakeSession(5, lambda token, count: [9.0, 1.0, 0.0, 0.0, 0.0])
    found = recite(always_unknown, LETTERS, [segment("aa?a")], ReciteSettings(prompt_length=1, length=3, samples=1))
    assert found.mean_matched == 1
    assert found.failed is not None
    assert found.failed.written == "aaa"


def test_prompts_start_cold_and_in_one_batch() -> None:
    session = cycle(5)
    recite(session, LETTERS, [segment("abcd" * 20)], ReciteSettings(prompt_length=7, length=4, samples=9))
    assert session.runs == [(7, 9), (1, 9), (1, 9), (1, 9)]


def test_memory_for_logits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recited(segment("abcdabba" * 9), prompt_length=7, length=4, samples=30)
    monkeypatch.setattr(recitation, "LOGITS_LIMIT", 20)
    session = cycle(5)
    settings = ReciteSettings(prompt_length=7, length=4, samples=30)
    assert recite(session, LETTERS, [segment("abcdabba" * 9)], settings) == whole
    assert max(time * rows * 5 for time, rows in session.runs) <= 20


def test_greedy_takes_the_likeliest() -> None:
    assert greedy(cycle(5), np.array([[1, 2], [2, 3]]), 3, 0).tolist() == [[3, 4], [4, 1], [1, 2]]


def test_too_little_text() -> None:
    with pytest.raises(CorpusError, match="the text has 8 characters in this split, and a passage needs 185"):
        recited(segment("abcdabcd"))
    with pytest.raises(UsageError, match="samples = 5: this split has only 4 passages of 5 characters"):
        recited(segment("abcdabba"), prompt_length=2, length=3, samples=5)


def test_a_model_recites(trained: Path, small_text: Path, tmp_path: Path) -> None:
    model = charloom.load(trained)
    found = model.recite(small_text, samples=10, seed=3)
    assert found == model.recite(str(small_text), samples=10, seed=3)
    assert found.failed is not None
    text = small_text.read_text("utf-8")
    shown = found.failed
    assert text[shown.offset : shown.offset + 185] == shown.prompt + shown.expected
    # Greedy is what generate does at temperature 0.
    assert model.generate(shown.prompt, temperature=0, length=128).text == shown.written
    held_out = model.recite(small_text, samples=10, split="validation")
    assert held_out.failed is not None
    assert held_out.failed.offset >= 18_000
    events: list[Event] = []
    (tmp_path / "other.txt").write_text(text[:5000])
    model.recite(tmp_path / "other.txt", samples=2, notify=events.append)
    assert any(isinstance(event, Notice) and "not the text" in event.message for event in events)


@pytest.mark.parametrize("options", [{"samples": 0}, {"length": 0}, {"prompt_length": -1}, {"seed": -1}, {"sample": 3}])
def test_options_out_of_range(trained: Path, small_text: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options)).replace("_", "-")):
        charloom.load(trained).recite(small_text, **options)
