"""One unit of an LSTM along a text: what its gates keep, let in and let out, character by character."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charloom.bundle import ModelDirectory
from charloom.runtime.gates import unit_gates
from charloom.text.vocabulary import Ids
from figures import moving, style
from figures.gates import SENTENCE, choose_units

FIRST, LAST = 5, 35  # characters of the sentence that are shown
EACH = 1.2  # seconds
THICKEST = 18  # of a line whose gate is open
STRIP, STEP = 262, 21  # where the text is, and a character of it


@dataclass(frozen=True)
class Moment:
    """A unit at one character.

    Attributes:
        character: what is read.
        before: the cell state before it.
        forget: how much of that is kept, from 0 to 1.
        candidate: what could be written, from −1 to 1.
        input: how much of that is, from 0 to 1.
        memory: the cell state after it.
        output: how much of it is shown, from 0 to 1.
        value: the hidden state, from −1 to 1.
    """

    character: str
    before: float
    forget: float
    candidate: float
    input: float
    memory: float
    output: float
    value: float


def moments(directory: ModelDirectory, held_out: Ids) -> tuple[int, list[Moment]]:
    """The unit that forgets most at a line's end, and what it does along a piece of held-out text."""
    unit, _ = choose_units(directory, held_out)[4]
    ids = directory.vocabulary.encode(SENTENCE)
    gates = unit_gates(directory, ids, layer=0, unit=unit)
    memory = gates["forget"] * gates["memory"] + gates["input"] * gates["candidate"]
    values = gates["output"] * np.tanh(memory)
    order = (gates["memory"], gates["forget"], gates["candidate"], gates["input"], memory, gates["output"], values)
    rows = zip(SENTENCE, *(part.tolist() for part in order), strict=True)
    return unit, [Moment(*row) for row in rows][FIRST:LAST]


PLACES = {"c before": (70, 70), "c now": (440, 70), "h, its value": (610, 70), "g, what could be written": (300, 196)}
RADIUS = 28
LINES = ((98, 70, 284, 70), (300, 168, 300, 86), (316, 70, 412, 70), (468, 70, 582, 70))


def draw(unit: int, found: list[Moment]) -> bytes:
    """The cell at one character after the other, above the text with the forget gate of each character."""
    count = len(found)
    lowest = min(found, key=lambda moment: moment.forget)
    parts = [*_fixed(unit), *_strip(found)]
    parts += [moving.frame(at, _cell(moment, at), still=moment is lowest) for at, moment in enumerate(found)]
    characters = "".join(moving.shown(each.character) for each in found)
    said = (
        f"Unit {unit} of an LSTM reads {characters}. Its forget gate is {lowest.forget:.2f} at "
        f"{moving.shown(lowest.character)} and {max(each.forget for each in found):.2f} at most."
    )
    return moving.picture(40 + STEP * count, 350, "A cell of an LSTM", said, moving.frames(count, EACH), parts)


def _fixed(unit: int) -> list[str]:
    """What does not change."""
    parts = [moving.line(*ends, THICKEST, style.FAINT) for ends in LINES]
    for name, (x, y) in PLACES.items():
        parts += [moving.ring(x, y, RADIUS), moving.text(x, y + (38 if y > 100 else 48), name)]
    return [*parts, moving.text(300, 75, "+", "b"), moving.text(610, 200, f"unit {unit}", "b")]


def _cell(moment: Moment, at: int) -> list[str]:
    """Lines as thick as their gates are open, between numbers."""
    gates = (moment.forget, moment.input, None, moment.output)
    parts = [moving.line(*ends, THICKEST * gate, style.BLUE) for ends, gate in zip(LINES, gates, strict=True) if gate]
    labels = (
        (191, 50, f"forget gate f {moment.forget:.2f}"),
        (376, 132, f"input gate i {moment.input:.2f}"),
        (525, 50, f"output gate o {moment.output:.2f}"),
    )
    parts += [moving.text(*label, "s") for label in labels]
    values = (moment.before, moment.memory, moment.value, moment.candidate)
    for (x, y), value in zip(PLACES.values(), values, strict=True):
        parts += [moving.disc(x, y, RADIUS, value), moving.text(x, y + 5, moving.signed(value))]
    return [*parts, moving.box(20 + STEP * at, STRIP - 4, STEP, 74, style.BLUE, 0.18)]


def _strip(found: list[Moment]) -> list[str]:
    """The text, under each character's forget gate."""
    parts = []
    for at, moment in enumerate(found):
        x = 20 + STEP * at
        parts.append(moving.box(x + 2, STRIP + 40 - 36 * moment.forget, STEP - 4, 36 * moment.forget, style.BLUE, 0.45))
        parts.append(moving.text(x + STEP / 2, STRIP + 60, moving.shown(moment.character), "m"))
    return [*parts, moving.text(20, STRIP + 82, "bars: the forget gate at each character", "s", "start")]


def figures(unit: int, found: list[Moment]) -> dict[str, object]:
    """The numbers that the pages speak of."""
    gates = [moment.forget for moment in found]
    return {"unit": unit, "lowest forget gate": round(min(gates), 2), "highest forget gate": round(max(gates), 2)}
