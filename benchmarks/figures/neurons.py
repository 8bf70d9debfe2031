"""Does a hidden unit track something a person can name? All units are searched, and what is found is tested again.

Legend: T time, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelDirectory
from charloom.runtime.activations import activations
from charloom.runtime.session import open_session
from charloom.text.vocabulary import Ids
from figures import style

Values = NDArray[np.float64]

STUDIED = 5_000  # characters to choose a unit by, and as many others to test it on
CONVINCING = 0.7  # from here on a unit is said to track a feature


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


def features(text: str) -> dict[str, Values]:
    """What is looked for, after each character: (T,) each."""
    return {
        "position in the line": _since(text, "\n"),
        "position in the word": _run(text, str.isalpha),
        "in a word of capitals": np.minimum(_run(text, str.isupper), 2) // 2,
        "inside quotation marks": _between(text, '"', '"'),
        "inside parentheses": _between(text, "(", ")"),
    }


def _since(text: str, mark: str) -> Values:
    """Characters since the last mark."""
    counts, count = [], 0
    for character in text:
        count = 0 if character == mark else count + 1
        counts.append(count)
    return np.array(counts, dtype=float)


def _run(text: str, belongs: Callable[[str], bool]) -> Values:
    """How many characters up to here belong together."""
    counts, count = [], 0
    for character in text:
        count = count + 1 if belongs(character) else 0
        counts.append(count)
    return np.array(counts, dtype=float)


def _between(text: str, opening: str, closing: str) -> Values:
    """1 after an opening mark and until its closing one; a blank line ends it in any case."""
    inside, before, values = False, "", []
    for character in text:
        ends = character == closing or character == before == "\n"
        inside = not ends if inside else character == opening
        values.append(inside)
        before = character
    return np.array(values, dtype=float)


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
        correlations = _correlations(hidden[0], first[name])
        unit = int(np.abs(correlations).argmax())
        tested = float(_correlations(hidden[1][:, [unit]], second[name])[0])
        found.append(Finding(name, unit, float(correlations[unit]), tested))
    return found


def _halves(held_out: Ids) -> list[Ids]:
    """What a unit is chosen by, and what it is tested on."""
    size = min(STUDIED, len(held_out) // 2)
    return [held_out[:size], held_out[size : 2 * size]]


def _hidden(directory: ModelDirectory, ids: Ids) -> Values:
    session = open_session(directory, "float32")
    units = range(directory.config.model.hidden_size)
    return activations(session, directory.vocabulary, ids, units=units).values.astype(float)


def _correlations(hidden: Values, feature: Values) -> Values:
    """Pearson's correlation of each unit (T, H) with a feature (T,); a unit that never changes has none."""
    centred, wanted = hidden - hidden.mean(axis=0), feature.astype(float) - feature.mean()
    scale = np.linalg.norm(centred, axis=0) * np.linalg.norm(wanted)
    return np.asarray(wanted @ centred / np.where(scale > 0, scale, np.inf))


def draw(directory: ModelDirectory, held_out: Ids, found: Finding, length: int = 420) -> bytes:
    """The unit's value along held-out text that it was not chosen by, above the feature."""
    ids = _halves(held_out)[1][:length]
    text = directory.vocabulary.decode(ids)
    hidden = _hidden(directory, ids)[:, found.unit]
    with style.figure(7.6, 3.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.step(range(len(ids)), hidden, where="mid", color=style.BLUE, linewidth=1.2)
        upper.set_title(f"unit {found.unit} (correlation on unseen text: {found.tested:.2f})")
        upper.set_ylim(-1.05, 1.05)
        lower.step(range(len(ids)), features(text)[found.feature], where="mid", color=style.ORANGE, linewidth=1.2)
        lower.set_title(found.feature)
        lower.set_xlabel("characters")
        for axes in (upper, lower):
            axes.grid(axis="y", linewidth=0.8)
            axes.set_xlim(0, len(ids) - 1)
        return style.svg(figure, "A unit and what it follows")


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
