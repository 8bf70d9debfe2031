"""Which lines are odd enough for an alert: a threshold that lines themselves give."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from charloom.errors import CorpusError, UsageError
from charloom.files import atomic_write, storage_errors
from charloom.runtime.masks import Masks, compile_masks
from charloom.runtime.model import Model, load
from charloom.runtime.scores import Ranking, Score, rank

_LEAST_LINES = 20  # fewer say nothing of how much lines vary
_DEVIATIONS = 8.0  # from the median: what is farther out is not an ordinary line
_SCALE = 1.4826  # the standard deviation of a normal distribution, in median deviations
_LEAST_SCALE = 0.25  # bits: where lines all cost the same, one that costs a little more is not odd


@dataclass(frozen=True)
class Threshold:
    """What a line must cost to be odd.

    Attributes:
        bits: a line is odd that costs more.
        median: of the lines it was fitted on, in bits.
        deviation: how much these vary: 1.4826 times the median deviation from the median, 0.25 bits at least.
        lines: how many they were, empty ones not counted.
        false_alarms: how many false alarms were accepted in as many ordinary lines.
        good: whether they were known to be ordinary.
    """

    bits: float
    median: float
    deviation: float
    lines: int
    false_alarms: float
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


class Detector:
    """A model and a threshold: finds lines that are odd.

    >>> detector = charloom.Detector("runs/log").fit(open("today.log"))
    >>> odd = [score for score in detector.score(open("today.log")) if score.odd]

    It pickles by the model's path.

    Attributes:
        model: what scores the lines.
        by: which of a line's figures counts: `worst`, `mean` or `total`.
        masks: what is read and not charged.
        threshold: what a line must cost to be odd; None before `fit`.
    """

    def __init__(self, model: Model | str | Path, *, by: Ranking = "worst", mask: Masks = ()) -> None:
        """Look for odd lines with a model.

        Args:
            model: a model, or its folder.
            by: `worst` counts a line's costliest character, `mean` its bits per character, `total` all its bits.
            mask: regular expressions; what they match in a line, such as a date, is read and not charged.

        Raises:
            UsageError: a mask cannot be read, or there is no such figure.
        """
        if by not in get_args(Ranking):
            raise UsageError(f"by = {by!r}: choose worst, mean or total")
        self.model = model if isinstance(model, Model) else load(model)
        self.by: Ranking = by
        self.masks: tuple[str, ...] = (mask,) if isinstance(mask, str) else tuple(mask)
        compile_masks(self.masks)
        self.threshold: Threshold | None = None

    def __repr__(self) -> str:
        found = self.threshold
        fitted = "not fitted" if found is None else f"odd above {found.bits:.2f} bits, fitted on {found.lines:,} lines"
        return f"Detector({str(self.model.path)!r}, by={self.by!r}, {fitted})"

    def fit(self, lines: Iterable[str], *, false_alarms: float = 1, good: bool = False) -> Detector:
        """Find the threshold.

        Args:
            lines: such lines as will be scored, a day of them for instance; a file, or a column of a table.
            false_alarms: how many false alarms are accepted in as many ordinary lines, 1 or more.
            good: all these lines are known to be ordinary. Otherwise those far from the others are taken for odd ones.

        Raises:
            CorpusError: fewer than 20 lines.
            UsageError: fewer than one false alarm.
        """
        check_false_alarms(false_alarms)
        figures = array("d")
        for score in self.model.score_lines(lines, mask=self.masks):
            if (figure := rank(score, self.by)) is not None:
                figures.append(figure)
        self.threshold = fit_threshold(figures, false_alarms, good=good)
        return self

    def score(self, lines: Iterable[str], *, live: bool = False) -> Iterator[Score]:
        """Score lines in their order, lazily; `odd` of each says whether it is.

        Args:
            lines: with their line ends or without.
            live: score each line before the next one is asked for.

        Raises:
            UsageError: there is no threshold yet.
        """
        threshold = self._fitted()
        found = self.model.score_lines(lines, live=live, mask=self.masks)
        return (replace(score, odd=threshold.is_odd(rank(score, self.by))) for score in found)

    def is_odd(self, line: str) -> bool:
        """Whether a line is odd.

        Raises:
            UsageError: there is no threshold yet.
        """
        return bool(next(self.score([line])).odd)

    def save(self, path: str | Path) -> None:
        """Write the threshold, its figure and its masks as JSON; the model stays where it is.

        Raises:
            StorageError: the file cannot be written.
            UsageError: there is no threshold yet.
        """
        saved = {"by": self.by, "mask": list(self.masks), "threshold": vars(self._fitted())}
        with atomic_write(Path(path)) as file:
            file.write(json.dumps(saved, indent=2).encode() + b"\n")

    @classmethod
    def load(cls, path: str | Path, model: Model | str | Path) -> Detector:
        """Read what `save` wrote.

        Args:
            path: the file.
            model: the model that it was fitted with.

        Raises:
            StorageError: the file cannot be read.
            UsageError: it is not such a file.
        """
        with storage_errors(Path(path)):
            content = Path(path).read_bytes()
        try:
            saved: dict[str, Any] = json.loads(content)
            detector = cls(model, by=saved["by"], mask=saved["mask"])
            detector.threshold = TypeAdapter(Threshold).validate_python(saved["threshold"])
        except (KeyError, TypeError, ValueError, ValidationError):
            raise UsageError(f"{path} is not a file that Detector.save wrote") from None
        return detector

    def _fitted(self) -> Threshold:
        if self.threshold is None:
            raise UsageError("the detector has no threshold yet: call fit with lines, or Detector.load")
        return self.threshold

    def __getstate__(self) -> dict[str, Any]:
        model = {"path": self.model.path, "threads": self.model.threads, "precision": self.model.precision}
        return {**vars(self), "model": model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        model = dict(state["model"])
        vars(self).update({**state, "model": load(model.pop("path"), **model)})


def check_false_alarms(count: float) -> None:
    """Refuse a rate that lines cannot show."""
    if not (math.isfinite(count) and count >= 1):
        raise UsageError(f"false alarms = {count}: give 1 or more, in as many lines as the threshold is fitted on")
