"""A plain network and an LSTM while they learn: the validation loss, and what each writes at that time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charloom.bundle import read_history
from figures import moving, style

EACH = 2.5  # seconds
CLOSEST = 0.2  # passes between two looks that are shown
COLUMNS, LINES = 46, 5  # of a sample


@dataclass(frozen=True)
class Look:
    """A network at one time of its training: passes over the text, validation loss in nats, what it wrote."""

    passes: float
    loss: float
    sample: str


def looks(model: Path) -> list[Look]:
    """The evaluations that the run recorded, without those that nearly coincide."""
    found: list[Look] = []
    for record in read_history(model / "metrics.jsonl"):
        if "validation_loss" in record:
            look = Look(float(record["epoch"]), float(record["validation_loss"]), str(record["sample"]))
            if found and look.passes - found[-1].passes < CLOSEST:
                found.pop()
            found.append(look)
    return found


LEFT, TOP, WIDTH, HEIGHT = 52, 34, 300, 280  # of the plot


def draw(found: Mapping[str, list[Look]]) -> bytes:
    """The losses so far, and the samples of that time, one time after the other."""
    every = [look for each in found.values() for look in each]
    low, high = min(look.loss for look in every), max(look.loss for look in every)
    last = max(look.passes for look in every)
    count = min(map(len, found.values()))

    def place(look: Look) -> tuple[float, float]:
        return LEFT + WIDTH * look.passes / last, TOP + HEIGHT * (1 - (look.loss - low) / ((high - low) or 1))

    parts = _axes(low, high, last)
    for at in range(count):
        drawn: list[str] = []
        for row, (cell, each) in enumerate(found.items()):
            colour = style.CELL_COLOURS[cell]
            points = [place(look) for look in each[: at + 1]]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            x, y = points[-1]
            drawn.append(f'<polyline points="{line}" stroke-width="2" style="stroke:{colour}"/>')
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:{colour}"/>')
            drawn += _sample(cell, each[at], TOP + 4 + 158 * row)
        parts.append(moving.frame(at, drawn, still=at == count - 1))
    ends = {cell: (each[0], each[count - 1]) for cell, each in found.items()}
    said = "; ".join(
        f"{cell.upper()} from {first.loss:.2f} to {end.loss:.2f} nats" for cell, (first, end) in ends.items()
    )
    return moving.picture(
        800,
        362,
        "Two networks learn",
        f"Validation loss over {last:g} passes: {said}",
        moving.frames(count, EACH),
        parts,
    )


def _axes(low: float, high: float, last: float) -> list[str]:
    parts = [moving.text(LEFT, TOP - 14, "validation loss, nats a character", "s", "start")]
    for value, y in ((high, TOP), ((low + high) / 2, TOP + HEIGHT / 2), (low, TOP + HEIGHT)):
        parts += [
            moving.line(LEFT, y, LEFT + WIDTH, y, 1, style.FAINT),
            moving.text(LEFT - 8, y + 4, f"{value:.2f}", "s", "end"),
        ]
    parts += [moving.text(LEFT + WIDTH * n / last, TOP + HEIGHT + 18, f"{n}", "s") for n in range(int(last) + 1)]
    return [*parts, moving.text(LEFT + WIDTH / 2, TOP + HEIGHT + 36, "passes over the text", "s")]


def _sample(cell: str, look: Look, top: float) -> list[str]:
    x = LEFT + WIDTH + 36
    title = f"{cell.upper()} after {look.passes:.2f} passes, {look.loss:.2f} nats, writes:"
    lines = [piece for line in look.sample.split("\n") for piece in textwrap.wrap(line, COLUMNS) or [""]][:LINES]
    parts = [
        moving.box(x - 14, top, 4, 24 + 19 * LINES, style.CELL_COLOURS[cell]),
        moving.text(x, top + 14, title, "b", "start"),
    ]
    return [*parts, *(moving.text(x, top + 38 + 19 * row, line, "m", "start") for row, line in enumerate(lines))]


def figures(found: Mapping[str, list[Look]]) -> dict[str, object]:
    """The numbers that the pages speak of."""
    return {cell: {f"{look.passes:.2f} passes": round(look.loss, 4) for look in each} for cell, each in found.items()}
