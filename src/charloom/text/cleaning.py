"""Named cleaning steps: composable, recorded with the model, and applied to prompts where they can be.

A step works on a whole text. Steps that change single characters ("character-level") are applied to
prompts and scored lines too, because a model that never saw a capital letter cannot read one; steps that
drop lines are not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CleaningStep:
    """One named change to a text."""

    name: str
    description: str
    apply: Callable[[str], str]
    character_level: bool


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _drop_speaker_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if ":" not in line)


def _drop_empty_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line)


def _join_lines(text: str) -> str:
    return text.replace("\n", " ")


STEPS: dict[str, CleaningStep] = {
    step.name: step
    for step in (
        CleaningStep("nfc", "compose accents (Unicode NFC)", _nfc, character_level=True),
        CleaningStep("lowercase", "lower-case everything", str.lower, character_level=True),
        CleaningStep("drop-speaker-lines", "drop lines with a colon", _drop_speaker_lines, character_level=False),
        CleaningStep("drop-empty-lines", "drop empty lines", _drop_empty_lines, character_level=False),
        CleaningStep("join-lines", "put all lines on one, spaces between", _join_lines, character_level=True),
    )
}

SETS: dict[str, tuple[str, ...]] = {
    "article": ("drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines"),
}


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Step names with the sets among them spelled out: what a model directory records."""
    return tuple(step for name in names for step in SETS.get(name, (name,)))


def clean(text: str, steps: Iterable[str]) -> str:
    """Apply all steps to a corpus, in order."""
    for name in expand(steps):
        text = STEPS[name].apply(text)
    return text


def clean_prompt(text: str, steps: Iterable[str]) -> str:
    """Apply the character-level steps to a prompt or a scored line, in order."""
    return clean(text, (name for name in expand(steps) if STEPS[name].character_level))
