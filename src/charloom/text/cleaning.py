"""Named cleaning steps: composable, recorded with the model, and applied to prompts where they can be.

Steps that change single characters ("character-level") are applied to prompts and scored lines too, because a model
that never saw a capital letter cannot read one; steps that drop lines are not. Each step takes a text in pieces, cut
anywhere, so that a text larger than memory can be cleaned.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from charloom.errors import CorpusError
from charloom.text.gutenberg import DropGutenberg
from charloom.text.step import Step

# A text can be cut before these without a change to what NFC and lower-casing make of it: they compose with nothing
# before them, and a capital sigma before them, whose small form depends on whether it ends a word, looks no further.
_SURE_CUT = re.compile("[\n 0-9\u3000-\u3002\u4e00-\u9fff]")
_LETTER = re.compile("[A-Za-z]")  # before these too, where the stretch so far has no capital sigma
_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}"
_LOOK_BACK = 1024
_WORD = re.compile("[^ \t\n]+")
_DIGIT = re.compile("[0-9]")


class JoinLines(Step):
    """Put all lines on one, spaces between."""

    def push(self, piece: str) -> str:
        return piece.replace("\n", " ")


class DropEmptyLines(Step):
    """Drop empty lines: newlines that follow one another become one, at the ends of the text none."""

    def __init__(self) -> None:
        self._started = False
        self._line_ended = False

    def push(self, piece: str) -> str:
        kept = "\n".join(line for line in piece.split("\n") if line)
        if not kept:
            self._line_ended |= bool(piece)
            return ""
        separated = self._started and (self._line_ended or piece.startswith("\n"))
        self._started, self._line_ended = True, piece.endswith("\n")
        return "\n" + kept if separated else kept


class _Held:
    """Parts of a stretch that cannot be settled yet, at most `longest` characters of them."""

    def __init__(self, longest: int, refusal: str) -> None:
        self._longest = longest
        self._refusal = refusal
        self._parts: list[str] = []
        self._length = 0

    def add(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)
        if self._length > self._longest:
            raise CorpusError(self._refusal.format(self._longest))

    def take(self) -> str:
        whole = "".join(self._parts)
        self._parts, self._length = [], 0
        return whole


class DropSpeakerLines(Step):
    """Drop lines with a colon."""

    def __init__(self, longest: int) -> None:
        """Hold at most `longest` characters of a line that has shown no colon yet."""
        self._line = _Held(longest, "drop-speaker-lines met a line of more than {:,} characters: break its lines")
        self._colon = False
        self._started = False

    def push(self, piece: str) -> str:
        first, *lines = piece.split("\n")
        self._hold(first)
        if not lines:
            return ""
        kept = [*self._end_line(), *(line for line in lines[:-1] if ":" not in line)]
        self._hold(lines[-1])
        return self._join(kept)

    def finish(self) -> str:
        return self._join(self._end_line())

    def _hold(self, part: str) -> None:
        self._colon = self._colon or ":" in part
        if self._colon:
            self._line.take()
        else:
            self._line.add(part)

    def _end_line(self) -> list[str]:
        line, dropped = self._line.take(), self._colon
        self._colon = False
        return [] if dropped else [line]

    def _join(self, lines: list[str]) -> str:
        if not lines:
            return ""
        separator = "\n" if self._started else ""
        self._started = True
        return separator + "\n".join(lines)


class InStretches(Step):
    """Apply a function of a character's neighbours to stretches cut where neighbours do not matter."""

    def __init__(self, apply: Callable[[str], str], longest: int) -> None:
        """Hold at most `longest` characters of a stretch that shows no place to cut."""
        self._apply = apply
        self._held = _Held(
            longest, "nfc and lowercase met more than {:,} characters without a space or line end: break the lines"
        )
        self._sigma = False

    def push(self, piece: str) -> str:
        cut = self._last_cut(piece)
        if cut is None:
            self._hold(piece)
            return ""
        self._held.add(piece[:cut])
        settled = self.finish()
        self._hold(piece[cut:])
        return settled

    def finish(self) -> str:
        self._sigma = False
        return self._apply(self._held.take())

    def _hold(self, part: str) -> None:
        self._sigma = self._sigma or _SIGMA in part
        self._held.add(part)

    def _last_cut(self, piece: str) -> int | None:
        """Where the piece can be cut: before this place."""
        usual = max(piece.rfind("\n"), piece.rfind(" "))
        if usual >= 0:
            return usual
        sure = _last_place(_SURE_CUT, piece)
        if sure is None and not self._sigma and _SIGMA not in piece:
            return _last_place(_LETTER, piece)
        return sure


class MaskNumbers(Step):
    """Put 0 in place of every word with a digit, such as a time, an address, a size."""

    def __init__(self, longest: int) -> None:
        """Hold at most `longest` characters of a word."""
        self._word = _Held(longest, "mask-numbers met a word of more than {:,} characters: break the lines")

    def push(self, piece: str) -> str:
        cut = max(map(piece.rfind, " \t\n")) + 1
        if not cut:
            self._word.add(piece)
            return ""
        settled = _mask_numbers(self._word.take() + piece[:cut])
        self._word.add(piece[cut:])
        return settled

    def finish(self) -> str:
        return _mask_numbers(self._word.take())


def _mask_numbers(text: str) -> str:
    return _WORD.sub(lambda word: "0" if _DIGIT.search(word[0]) else word[0], text)


def _last_place(pattern: re.Pattern[str], text: str) -> int | None:
    for start in range(len(text), 0, -_LOOK_BACK):
        places = [found.start() for found in pattern.finditer(text, max(0, start - _LOOK_BACK), start)]
        if places:
            return places[-1]
    return None


UNLIMITED = sys.maxsize


@dataclass(frozen=True)
class CleaningStep:
    """One named change to a text.

    Attributes:
        name: what it is called on the command line and in a model directory.
        description: what it does, in a few words.
        begin: starts it on a text; given how many characters it may hold back.
        character_level: whether prompts get it too.
        by_document: whether each document passes it by itself, before all documents pass the other steps together.
    """

    name: str
    description: str
    begin: Callable[[int], Step]
    character_level: bool
    by_document: bool = False


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


STEPS: dict[str, CleaningStep] = {
    step.name: step
    for step in (
        CleaningStep(
            "gutenberg",
            "leave out header and licence of Project Gutenberg",
            lambda longest: DropGutenberg(),
            character_level=False,
            by_document=True,
        ),
        CleaningStep("nfc", "compose accents (Unicode NFC)", lambda longest: InStretches(_nfc, longest), True),
        CleaningStep("lowercase", "lower-case everything", lambda longest: InStretches(str.lower, longest), True),
        CleaningStep("mask-numbers", "put 0 in place of every word with a digit", MaskNumbers, True),
        CleaningStep("drop-speaker-lines", "drop lines with a colon", DropSpeakerLines, False),
        CleaningStep("drop-empty-lines", "drop empty lines", lambda longest: DropEmptyLines(), False),
        CleaningStep("join-lines", "put all lines on one, spaces between", lambda longest: JoinLines(), True),
    )
}

SETS: dict[str, tuple[str, ...]] = {
    "article": ("drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines"),
}


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Step names in the order in which they are done, sets spelled out: what a model directory records."""
    spelled = [step for name in names for step in SETS.get(name, (name,))]
    return tuple(sorted(spelled, key=lambda name: not STEPS[name].by_document))


def clean_pieces(pieces: Iterable[str], steps: Iterable[str], longest: int = UNLIMITED) -> Iterator[str]:
    """Apply all steps, in order, to a corpus that comes in pieces; where they are cut makes no difference."""
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
