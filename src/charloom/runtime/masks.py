"""Masks: parts of a line that are read and not charged, such as dates and numbers that always differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from charloom.errors import UsageError

Masks = str | Sequence[str]
"""A regular expression, or several."""


def compile_masks(masks: Masks) -> tuple[re.Pattern[str], ...]:
    """Read regular expressions.

    Raises:
        UsageError: one cannot be read.
    """
    found = []
    for mask in masks if isinstance(masks, Iterable) and not isinstance(masks, str | bytes) else [masks]:
        if not isinstance(mask, str):
            raise UsageError(f"mask {mask!r:.60}: give a regular expression as a string, or several")
        try:
            found.append(re.compile(mask))
        except re.error as error:
            raise UsageError(f"mask {mask!r}: not a regular expression: {error}") from None
    return tuple(found)


def charged(masks: Sequence[re.Pattern[str]], text: str) -> NDArray[np.bool_]:
    """Which characters of a text, (T,), no mask matches; a line end is always charged."""
    found = np.ones(len(text), dtype=np.bool_)
    for mask in masks:
        for match in mask.finditer(text):
            found[match.start() : match.end()] = False
    if text.endswith("\n"):
        found[-1] = True
    return found
