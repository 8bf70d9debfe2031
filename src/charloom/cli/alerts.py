"""`charloom score --alert`: only the lines that are odd, and an exit status that says whether there are any."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from pydantic import BaseModel, Field

from charloom.cli.arguments import NameOrFile, Written
from charloom.cli.output import Output
from charloom.errors import StorageError, UsageError
from charloom.files import expand_home
from charloom.runtime.detector import Detector, check_threshold_file
from charloom.runtime.model import Model
from charloom.runtime.scores import Ranking, Score, rank
from charloom.runtime.threshold import Threshold, check_false_alarms, fit_threshold

ODD = 3  # the exit status where some line is odd
_MOST = 100_000  # odd lines that are held before a threshold is known

LinesOf = Callable[[str], Iterator[Score]]


@Parameter(name="*", group=Group("Alerts", sort_key=90))
class AlertOptions(BaseModel):
    """Options of what is odd enough."""

    alert: Annotated[bool, Parameter(negative=())] = Field(
        False,
        description="Only the lines that are odd, by a threshold that is fitted or read; the exit status is 3 if there "
        "are any.",
    )
    mask: list[str] = Field(
        [],
        description="A regular expression, such as '[0-9]+': what it matches is read and not charged. May be repeated.",
    )
    against: Path | None = Field(
        None,
        description="Another model: --top, --by and --alert count what a text costs beyond what it costs that one. So "
        "does --per-char.",
    )
    false_alarms: float | None = Field(
        None,
        description="How many false alarms are accepted a day (1 if not given); a day is as many lines as the "
        "threshold is fitted on.",
    )
    good: NameOrFile | None = Field(
        None,
        description="A file of ordinary lines to fit the threshold on, such as yesterday's. If not given, the lines "
        "that are scored, of which those far from the others are taken for odd.",
    )
    save_threshold: Annotated[Path | None, Written] = Field(
        None,
        description="Keep the threshold in this file, with what it holds for: the models, --by and --mask. With --good "
        "no other file has to be given.",
    )
    threshold: Path | None = Field(
        None,
        description="A file that --save-threshold or Detector.save wrote, in place of fitting. --by and --mask are "
        "those of the file.",
    )

    def check(self, lines: bool, files: bool) -> None:
        """Refuse what cannot work together."""
        if self.alert and not lines:
            raise UsageError("--alert is for lines: add --lines")
        for value, option in (
            (self.good, "--good"),
            (self.threshold, "--threshold"),
            (self.save_threshold, "--save-threshold"),
        ):
            if value is not None and not self.alert:
                raise UsageError(f"{option} is for alerts: add --alert")
        fitting = [
            option
            for option, value in (
                ("--good", self.good),
                ("--false-alarms", self.false_alarms),
                ("--save-threshold", self.save_threshold),
            )
            if value is not None
        ]
        if self.threshold is not None and fitting:
            raise UsageError(f"{fitting[0]} is for fitting a threshold: leave out --threshold, or {fitting[0]}")
        if not files and self.save_threshold is not None and self.good is None:
            raise UsageError("name known good lines to fit the threshold on with --good, or a file to score")
        if self.save_threshold is not None:
            check_threshold_file(expand_home(self.save_threshold))
        check_false_alarms(self.accepted)

    @property
    def accepted(self) -> float:
        """False alarms a day."""
        return 1 if self.false_alarms is None else self.false_alarms

    def detector(self, model: Model, other: Model | None, by: Ranking | None, lines: bool) -> Detector:
        """What finds odd lines, with its threshold where that was saved.

        Raises:
            UsageError: the threshold was fitted for something else than what is asked for.
        """
        if self.threshold is None:
            return Detector(model, by=by or ("worst" if lines else "mean"), mask=self.mask, against=other)
        path = expand_home(self.threshold)
        found = Detector.load(path, model, against=other)
        if by not in (None, found.by):
            raise UsageError(f"{path} was fitted with --by {found.by}, not {by}: leave out --by, or fit it again")
        if self.mask and tuple(self.mask) != found.masks:
            fitted = " ".join(found.masks) or "none"
            raise UsageError(f"{path} was fitted with other masks ({fitted}): leave out --mask, or fit it again")
        return found


class Alerts:
    """The alerts of one run."""

    def __init__(self, out: Output, detector: Detector, options: AlertOptions, lines_of: LinesOf) -> None:
        """Find odd lines.

        Args:
            out: receives what is to say of the threshold.
            detector: whose threshold is fitted where it has none.
            options: how it is fitted.
            lines_of: scores the lines of a file.
        """
        self._out = out
        self._detector = detector
        self._options = options
        self._lines_of = lines_of

    def odd_lines(self, scores: Iterable[Score]) -> Iterator[Score]:
        """The odd ones among scores of lines, in their order: as they come where the threshold is known before them."""
        if self._options.good is not None:
            self.fit_good()
        elif self._detector.threshold is None:
            return self._odd_among_themselves(scores)
        else:
            self._tell()
        threshold = self._threshold
        return (replace(one, odd=True) for one in scores if threshold.is_odd(self._figure(one)))

    def fit_good(self) -> None:
        """Fit the threshold on lines that are known to be ordinary."""
        assert self._options.good is not None
        figures = (self._figure(one) for one in self._lines_of(str(self._options.good)))
        failure = self._fit(array("d", (figure for figure in figures if figure is not None)), good=True)
        if failure is not None:
            raise failure

    def show_threshold(self) -> None:
        """Say as a result what was fitted, where nothing is scored."""
        path, threshold = self._options.save_threshold, self._threshold
        if self._out.json:
            self._out.result({"threshold": str(path), **asdict(threshold)})
        else:
            self._out.text(f"{path}: {threshold.bits:.2f} bits, fitted on {threshold.lines:,} lines")

    def _odd_among_themselves(self, scores: Iterable[Score]) -> Iterator[Score]:
        figures = array("d")
        oddest: list[tuple[float, int, Score]] = []  # the costliest lines so far, a heap
        for one in scores:
            if (figure := self._figure(one)) is not None:
                add = heapq.heappush if len(oddest) < _MOST else heapq.heappushpop
                add(oddest, (figure, -len(figures), one))
                figures.append(figure)
        failure = self._fit(figures, good=False)
        threshold = self._threshold
        odd = [(-place, one) for figure, place, one in oddest if threshold.is_odd(figure)]
        if len(odd) == _MOST:
            self._out.warn(f"more than {_MOST:,} lines are odd: the model may not know this text; these are the oddest")
        for _, one in sorted(odd, key=lambda found: found[0]):
            yield replace(one, odd=True)
        if failure is not None:  # lines from a pipe come once: they are shown first
            raise failure

    def _fit(self, figures: array[float], *, good: bool) -> StorageError | None:
        """Fit the threshold and save it; return why it could not be saved."""
        self._detector.threshold = fit_threshold(figures, self._options.accepted, good=good)
        self._tell()
        try:
            if self._options.save_threshold is not None:
                self._detector.save(expand_home(self._options.save_threshold))
        except StorageError as error:
            return error
        return None

    @property
    def _threshold(self) -> Threshold:
        threshold = self._detector.threshold
        assert threshold is not None
        return threshold

    def _figure(self, score: Score) -> float | None:
        return rank(score, self._detector.by)

    def _tell(self) -> None:
        threshold = self._threshold
        beyond = "" if self._detector.against is None else " beyond the other model"
        self._out.say(
            f"(odd is what costs more than {threshold.bits:.2f} bits{beyond}; an ordinary line costs "
            f"{threshold.median:.2f} ± {threshold.deviation:.2f}; fitted on {threshold.lines:,} lines)",
            style="dim",
        )
