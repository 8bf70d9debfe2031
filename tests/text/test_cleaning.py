from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.settings import CleaningName, StepName
from charloom.text.cleaning import SETS, STEPS, clean, clean_prompt, expand

PLAY = "ROMEO:\nO, Speak again!\n\nNurse: (within)\nMadam\n"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], PLAY),
        (["lowercase"], "romeo:\no, speak again!\n\nnurse: (within)\nmadam\n"),
        (["drop-speaker-lines"], "O, Speak again!\n\nMadam\n"),
        (["drop-empty-lines"], "ROMEO:\nO, Speak again!\nNurse: (within)\nMadam"),
        (["join-lines"], "ROMEO: O, Speak again!  Nurse: (within) Madam "),
        (["article"], "o, speak again! madam"),
        (["join-lines", "drop-speaker-lines"], ""),  # the order given is the order done
    ],
)
def test_steps(steps: list[str], expected: str) -> None:
    assert clean(PLAY, steps) == expected


def test_words_with_a_digit_are_masked() -> None:
    log = "10:31:07,5 node-3\tGET /items/4?b 200 in 7ms\nno number\n"
    assert clean(log, ["mask-numbers"]) == "0 0\tGET 0 0 in 0\nno number\n"
    assert clean_prompt(log, ["mask-numbers"]) == clean(log, ["mask-numbers"])
    assert clean("a" * 1_000_000, ["mask-numbers"]) == "a" * 1_000_000, "in time that grows with the text"


def test_nfc_composes() -> None:
    assert clean("e\u0301", ["nfc"]) == "\u00e9"


def test_articles_pipeline_on_tiny_shakespeare(shakespeare: Path) -> None:
    text = clean(shakespeare.read_text("utf-8"), ["article"])
    assert len(text) == 894_876
    # The article counts 38 symbols with the unknown one; 37 are in the text.
    assert len(set(text)) + 1 == 38
    assert "".join(sorted(set(text))) == " !$&',-.3;?" + "abcdefghijklmnopqrstuvwxyz"


def test_expand_spells_sets_out() -> None:
    article = ("drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines")
    assert expand(["nfc", "article"]) == ("nfc", *article)
    assert expand([]) == ()
    assert set(article) <= set(STEPS)
    assert set(STEPS) == set(get_args(StepName))
    assert {*STEPS, *SETS} == set(get_args(CleaningName))


def test_prompts_get_the_steps_on_characters_only() -> None:
    assert clean_prompt("ROMEO:\n\nO", ["article"]) == "romeo:  o"
    assert clean_prompt("ROMEO:\n\nO", ["drop-speaker-lines", "drop-empty-lines"]) == "ROMEO:\n\nO"


@given(st.text())
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    for name in ("nfc", "mask-numbers", "drop-speaker-lines", "drop-empty-lines", "join-lines"):
        once = clean(text, [name])
        assert clean(once, [name]) == once
