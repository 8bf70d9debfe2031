"""Named cleaning steps: composable, recorded with the model, and applied to prompts where they can be.

Steps that change single characters ("character-level") are applied to prompts and scored lines too, because a
model that never saw a capital letter cannot read one; steps that drop lines are not. `steps.py` has the steps at work.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from charloom.text.steps import DropEmptyLines, DropSpeakerLines, InStretches, JoinLines, Step

UNLIMITED = sys.maxsize


@dataclass(frozen=True)
class CleaningStep:
    """One named change to a text.

    Attributes:
        name: what it is called on the command line and in a model directory.
        description: what it does, in a few words.
        begin: starts it on a text; given how many characters it may hold back.
        character_level: whether prompts get it too.
    """

    name: str
    description: str
    begin: Callable[[int], Step]
    character_level: bool


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


STEPS: dict[str, CleaningStep] = {
    step.name: step
    for step in (
        CleaningStep("nfc", "compose accents (Unicode NFC)", lambda longest: InStretches(_nfc, longest), True),
        CleaningStep("lowercase", "lower-case everything", lambda longest: InStretches(str.lower, longest), True),
        CleaningStep("drop-speaker-lines", "drop lines with a colon", DropSpeakerLines, False),
        CleaningStep("drop-empty-lines", "drop empty lines", lambda longest: DropEmptyLines(), False),
        CleaningStep("join-lines", "put all lines on one, spaces between", lambda longest: JoinLines(), True),
    )
}

SETS: dict[str, tuple[str, ...]] = {
    "article": ("drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines"),
}


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Step names with the sets among them spelled out: what a model directory records."""
    return tuple(step for name in names for step in SETS.get(name, (name,)))


def clean_pieces(pieces: Iterable[str], steps: Iterable[str], longest: int = UNLIMITED) -> Iterator[str]:
    """Apply all steps, in order, to a corpus that comes in pieces; where they are cut makes no difference.

    Raises:
        CorpusError: a step would have to hold back more than `longest` characters.
    """
    running = [STEPS[name].begin(longest) for name in expand(steps)]
    for piece in pieces:
        yield _through(running, piece)
    for place, step in enumerate(running, start=1):
        yield _through(running[place:], step.finish())


def _through(steps: Iterable[Step], piece: str) -> str:
    for step in steps:
        piece = step.push(piece)
    return piece


def clean(text: str, steps: Iterable[str]) -> str:
    """Apply all steps to a text, in order."""
    return "".join(clean_pieces([text], steps))


def clean_prompt(text: str, steps: Iterable[str]) -> str:
    """Apply the character-level steps to a prompt or a scored line, in order."""
    return clean(text, (name for name in expand(steps) if STEPS[name].character_level))
