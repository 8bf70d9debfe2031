"""What a line must cost to be odd: a threshold that lines themselves give."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import FiniteFloat

from charloom.errors import CorpusError, UsageError

_LEAST_LINES = 20  # fewer say nothing of how much lines vary
_DEVIATIONS = 8.0  # from the median: what is farther out is not an ordinary line
_SCALE = 1.4826  # the standard deviation of a normal distribution, in median deviations
_LEAST_SCALE = 0.25  # bits: where lines all cost the same, one that costs a little more is not odd


@dataclass(frozen=True)
class Threshold:
    """What a line must cost to be odd.

    Attributes:
        bits: a line is odd that costs more (beyond the other model, where there is one).
        median: of the lines it was fitted on, in bits.
        deviation: how much these vary: 1.4826 times the median deviation from the median, 0.25 bits at least.
        lines: how many they were, empty ones not counted.
        false_alarms: how many false alarms were accepted in as many ordinary lines.
        good: whether they were known to be ordinary.
    """

    bits: FiniteFloat
    median: FiniteFloat
    deviation: FiniteFloat
    lines: int
    false_alarms: FiniteFloat
    good: bool

    def is_odd(self, figure: float | None) -> bool:
        """Whether a line of so many bits is odd; an empty one is not."""
        return figure is not None and figure > self.bits


def fit_threshold(figures: Sequence[float] | array[float], false_alarms: float, *, good: bool) -> Threshold:
    """Find what ordinary lines exceed as rarely as is asked for.

    Of ordinary lines it is the figure of the k-th costliest: as many other lines like them hold about k that cost more,
    whatever their distribution. Where odd lines may be among them, those more than eight deviations above the median
    are left out first (median and deviation hardly depend on them), and k of the others cost more than the threshold.

    Args:
        figures: bits of each line.
        false_alarms: how many in as many ordinary lines.
        good: all of them are ordinary.

    Raises:
        CorpusError: fewer than 20 lines.
    """
    values = np.sort(np.asarray(figures, dtype=np.float64))
    if len(values) < _LEAST_LINES:
        raise CorpusError(f"{len(values)} lines are too few to say what is odd: give {_LEAST_LINES} or more")
    median = float(np.median(values))
    deviation = max(_LEAST_SCALE, _SCALE * float(np.median(np.abs(values - median))))
    ordinary = values if good else values[values <= median + _DEVIATIONS * deviation]
    place = min(len(ordinary), int(false_alarms) + (not good))
    return Threshold(float(ordinary[-place]), median, deviation, len(values), false_alarms, good)


def check_false_alarms(count: float) -> None:
    """Refuse a rate that lines cannot show."""
    if not (isinstance(count, int | float | np.number) and 1 <= count < 2**63):
        raise UsageError(
            f"false alarms = {count!r:.40}: give 1 or more, in as many lines as the threshold is fitted on"
        )
