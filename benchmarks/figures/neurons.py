"""Does a hidden unit track something a person can name? All units are searched, and what is found is tested again.

Legend: T time, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from charloom.bundle import ModelDirectory
from charloom.runtime.activations import activations
from charloom.runtime.features import Values, correlations, features
from charloom.runtime.session import open_session
from charloom.text.vocabulary import Ids
from figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STUDIED = 5_000  # characters to choose a unit by, and as many others to test it on
CONVINCING = 0.7  # from here on a unit is said to track a feature
LINES, WIDEST = 4, 56  # of the text that is shown, and characters in each


@dataclass(frozen=True)
class Finding:
    """The unit that follows a feature best.

    Attributes:
        feature: what was looked for.
        unit: which.
        searched: its correlation on the text by which it was chosen.
        tested: its correlation on other text; this is the figure to quote.
    """

    feature: str
    unit: int
    searched: float
    tested: float


def search(directory: ModelDirectory, held_out: Ids) -> list[Finding]:
    """For each feature that occurs, the best unit of the top layer: chosen on one text, tested on the next."""
    halves = _halves(held_out)
    texts = [directory.vocabulary.decode(ids) for ids in halves]
    hidden = [_hidden(directory, ids) for ids in halves]
    first, second = (features(text) for text in texts)
    found = []
    for name in first:
        if min(np.ptp(first[name]), np.ptp(second[name])) == 0:
            continue  # it does not occur
        searched = correlations(hidden[0], first[name])
        unit = int(np.abs(searched).argmax())
        tested = float(correlations(hidden[1][:, [unit]], second[name])[0])
        found.append(Finding(name, unit, float(searched[unit]), tested))
    return found


def _halves(held_out: Ids) -> list[Ids]:
    """What a unit is chosen by, and what it is tested on."""
    size = min(STUDIED, len(held_out) // 2)
    return [held_out[:size], held_out[size : 2 * size]]


def _hidden(directory: ModelDirectory, ids: Ids) -> Values:
    session = open_session(directory, "float32")
    units = range(directory.config.model.hidden_size)
    return activations(session, directory.vocabulary, ids, units=units).values.astype(float)


def draw(directory: ModelDirectory, held_out: Ids, found: Finding, length: int = 420) -> bytes:
    """The unit's value along held-out text that it was not chosen by, the feature, and the text's first lines."""
    ids = _halves(held_out)[1][:length]
    text = directory.vocabulary.decode(ids)
    hidden = _hidden(directory, ids)[:, found.unit]
    with style.figure(7.6, 4.6) as figure:
        upper, lower, letters = figure.subplots(3, 1, height_ratios=[3, 2.4, 2.2])
        upper.step(range(len(ids)), hidden, where="mid", color=style.BLUE, linewidth=1.2)
        upper.set_title(f"unit {found.unit} (correlation on unseen text: {found.tested:.2f})")
        upper.set_ylim(-1.05, 1.05)
        upper.tick_params(labelbottom=False)
        lower.step(range(len(ids)), features(text)[found.feature], where="mid", color=style.ORANGE, linewidth=1.2)
        lower.set_title(found.feature)
        lower.set_xlabel("characters")
        for axes in (upper, lower):
            axes.grid(axis="y", linewidth=0.8)
            axes.set_xlim(0, len(ids) - 1)
        _write_letters(letters, text, hidden)
        return style.svg(figure, "A unit and what it follows")


def _write_letters(axes: Axes, text: str, hidden: Values) -> None:
    """The first whole lines of a text; behind each letter the unit's value, blue above zero and orange below."""
    from matplotlib.patches import Rectangle

    axes.set_title("the unit's value after each letter: blue to 1, orange to −1")
    axes.set_axis_off()
    axes.set_xlim(0, WIDEST)
    axes.set_ylim(LINES, 0)
    first = text.find("\n") + 1
    line = column = 0
    for character, value in zip(text[first:], hidden[first:], strict=True):
        colour = style.BLUE if value > 0 else style.ORANGE
        depth = round(0.5 * abs(value), 2)
        axes.add_patch(Rectangle((column, line + 0.06), 1, 0.88, color=colour, alpha=depth, linewidth=0))
        shown = "⏎" if character == "\n" else character
        axes.text(column + 0.5, line + 0.5, shown, ha="center", va="center", family="monospace", fontsize=9)
        line, column = (line + 1, 0) if character == "\n" or column + 1 == WIDEST else (line, column + 1)
        if line == LINES:
            return


def best(findings: Mapping[str, list[Finding]]) -> tuple[str, Finding]:
    """The model's name and the finding that holds best on other text."""
    every = [(name, finding) for name, found in findings.items() for finding in found]
    return max(every, key=lambda pair: abs(pair[1].tested))


def figures(findings: Mapping[str, list[Finding]]) -> dict[str, object]:
    """The numbers that the pages speak of."""
    return {
        f"{name}, {finding.feature}": {
            "unit": finding.unit,
            "searched": round(finding.searched, 2),
            "tested": round(finding.tested, 2),
            "convincing": abs(finding.tested) >= CONVINCING,
        }
        for name, found in findings.items()
        for finding in found
    }
