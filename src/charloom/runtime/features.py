"""What a person can name about a place in a text, and which hidden units follow it.

Legend: T time, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def features(text: str) -> dict[str, Values]:
    """What is looked for, after each character: (T,) each."""
    return {
        "position in the line": _since(text, "\n"),
        "position in the word": _run(text, str.isalpha),
        "in a word of capitals": np.minimum(_run(text, str.isupper), 2) // 2,
        "inside quotation marks": _between(text, '"', '"'),
        "inside parentheses": _between(text, "(", ")"),
    }


def more_features(text: str) -> dict[str, Values]:
    """Simpler ones, about the last character alone."""
    return {
        "after a line end": _flags(text, lambda character: character == "\n"),
        "after a space": _flags(text, lambda character: character == " "),
        "inside a word": _flags(text, str.isalpha),
        "after a capital": _flags(text, str.isupper),
        "after a digit": _flags(text, str.isdigit),
        "after a vowel": _flags(text, lambda character: character.lower() in set("aeiouyàáâäèéêëìíîïòóôöùúûü")),
        "after punctuation": _flags(text, lambda character: character in set(".,;:!?")),
    }


def _flags(text: str, holds: Callable[[str], bool]) -> Values:
    return np.array([holds(character) for character in text], dtype=float)


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


def correlations(hidden: Values, feature: Values) -> Values:
    """Pearson's correlation of each unit (T, H) with a feature (T,); a unit that never changes has none."""
    centred, wanted = hidden - hidden.mean(axis=0), feature.astype(float) - feature.mean()
    scale = np.linalg.norm(centred, axis=0) * np.linalg.norm(wanted)
    return np.asarray(wanted @ centred / np.where(scale > 0, scale, np.inf))
