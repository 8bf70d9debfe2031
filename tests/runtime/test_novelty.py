from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.errors import CorpusError, UsageError
from charloom.runtime import novelty as module
from charloom.runtime.novelty import CopiedShare, Copy, Searched, novelty
from charloom.text.splits import split_ids, with_opening
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary

LETTERS = CharacterVocabulary("\n abcdefghijklmnopqrstuvwxyz")
LINES = "the first line\nand a second one that is longer\nthe end\n"


def searched(text: str, vocabulary: Vocabulary = LETTERS, unseen: str = "") -> Searched:
    whole = with_opening(vocabulary.encode(text), vocabulary.opening_id)
    other = [with_opening(vocabulary.encode(unseen), vocabulary.opening_id)] if unseen else []
    return Searched([whole], other, "all", whole)


def test_by_hand() -> None:
    found = novelty(LETTERS, ["xx and a second one that is longyy"], searched(LINES))  # 29 of the second line's
    assert found.characters == 34
    assert found.corpus_characters == len(LINES)
    assert found.longest == 29
    assert found.copied_fraction == {20: 29 / 34, 50: 0.0, 100: 0.0}
    assert found.copies[0] == Copy(29, 15, 2, "and a second one that is long")
    assert (found.unseen, found.seed, found.split) == (None, None, "all")


def test_overlapping_copies_cover_a_character_once() -> None:
    corpus = "abcdefghijklmnopqrstuvwxyz" + "\n" + "mnopqrstuvwxyzabcdefghijkl"
    found = novelty(LETTERS, ["abcdefghijklmnopqrstuvwxyzabcdefghijkl"], searched(corpus))
    assert found.longest == 26
    assert found.copied_fraction[20] == 1.0
    assert [(copy.length, copy.offset, copy.line) for copy in found.copies] == [(26, 0, 1), (26, 27, 2)]


def test_copies_end_where_a_text_ends() -> None:
    corpus = "abcdefghijklmnopqrstuvwxyz"
    found = novelty(LETTERS, [corpus[:13], corpus[13:], ""], searched(corpus))
    assert found.longest == 13
    assert found.copied_fraction[20] == 0.0


def test_a_copy_is_shown_only_where_the_list_has_it() -> None:
    whole, learned = (
        with_opening(LETTERS.encode(text), LETTERS.opening_id)
        for text in ("anna\nberta\nclara\n", "berta\nanna\nclara\n")
    )
    found = novelty(LETTERS, ["berta\nanna", "clara"], Searched([learned], (), "train", whole, reordered=True))
    assert found.copies == (Copy(5, 11, 3, "clara"),), (
        "berta and anna are beside each other where they are learned alone"
    )


def test_unknown_characters_are_no_copy() -> None:
    found = novelty(LETTERS, ["ab?cd"], searched("ab!cd"))
    assert found.longest == 2


def test_unseen_text_is_measured_in_stretches_of_the_same_length() -> None:
    unseen = "abcdefghij" * 10
    found = novelty(LETTERS, ["z" * 30, "z" * 30], searched("abcdefghij" * 4, unseen=unseen))
    assert found.longest == 0
    assert found.unseen == CopiedShare(60, 30, {20: 1.0, 50: 0.0, 100: 0.0})
    short = novelty(LETTERS, ["z" * 30, "z" * 30], searched("abcdefghij" * 4, unseen="abcdefghij"))
    assert short.unseen == CopiedShare(10, 10, {20: 0.0, 50: 0.0, 100: 0.0})


def test_equal_copies_are_shown_once_and_at_most_five() -> None:
    words = ["alpha", "bravo", "charlie", "delta", "foxtrot", "golf", "hotel"]
    found = novelty(LETTERS, [word for word in words for _ in range(3)], searched("\n".join(words)))
    assert [copy.text for copy in found.copies] == ["charlie", "foxtrot", "alpha", "bravo", "delta"]
    assert [copy.line for copy in found.copies] == [3, 5, 1, 2, 4]


def test_bytes() -> None:
    found = novelty(ByteVocabulary(), ["世界"], searched("x\n世界!", ByteVocabulary()))
    assert (found.characters, found.longest) == (6, 6)
    assert found.copies[0] == Copy(6, 2, 2, "世界")


def test_real_text(shakespeare: Path) -> None:
    text = shakespeare.read_text("utf-8")
    vocabulary = CharacterVocabulary.from_text(text)
    whole = with_opening(vocabulary.encode(text), vocabulary.opening_id)
    cut = split_ids(whole, "tail", 0.1)
    seen, strange = text[500_000:500_120], "Qqzx" * 30
    found = novelty(vocabulary, [seen, strange], Searched(cut.train, cut.validation, "train", whole))
    assert found.copied_fraction == {20: 0.5, 50: 0.5, 100: 0.5}
    assert found.copies[0] == Copy(120, 500_000, 1 + text[:500_000].count("\n"), seen)
    # By searching the text itself: the unseen stretches are two of 120 characters, evenly spread.
    assert found.unseen is not None
    assert found.unseen.characters == 240
    start = cut.validation[0].start
    count = (len(text) - start) // 120
    rows = [text[start + 120 * (index * count // 2) :][:120] for index in range(2)]
    longest, learned = 0, text[:start]
    for row in rows:
        for at in range(120):
            while at + longest < 120 and row[at : at + longest + 1] in learned:
                longest += 1
    assert found.unseen.longest == longest


def test_nothing_and_too_much_to_examine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorpusError, match="no text to examine"):
        novelty(LETTERS, [""], searched(LINES))
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10)
    with pytest.raises(UsageError, match="11 characters to examine: give at most 10"):
        novelty(LETTERS, ["abcdefghijk"], searched(LINES))


def test_a_model_that_writes(trained: Path, small_text: Path, tmp_path: Path) -> None:
    model = charloom.load(trained)
    found = model.novelty(small_text, characters=1200, seed=5)
    assert found == model.novelty(small_text, characters=1200, seed=5)
    assert (found.characters, found.corpus_characters, found.seed) == (1200, 18_000, 5)
    assert found.unseen is not None
    assert found.unseen.characters == 1200
    text = small_text.read_text("utf-8")
    written = [one.text for one in model.generate_samples("", 2, length=600, seed=5)]
    for copy in found.copies:
        assert text[copy.offset : copy.offset + copy.length] == copy.text
        assert text.count("\n", 0, copy.offset) + 1 == copy.line
        assert any(copy.text in row for row in written)
    (tmp_path / "part.txt").write_text(text[3000:3400])
    given = model.novelty(small_text, file=tmp_path / "part.txt")
    assert (given.longest, given.copied_fraction[100], given.copies[0].offset) == (400, 1.0, 3000)


@pytest.mark.parametrize("options", [{"characters": 0}, {"temperature": -1}, {"top_p": 0}, {"length": 3}])
def test_options_out_of_range(trained: Path, small_text: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options)).replace("_", "-")):
        charloom.load(trained).novelty(small_text, **options)
