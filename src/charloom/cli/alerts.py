"""`charloom score --alert`: only the lines that are odd, and an exit status that says whether there are any."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Annotated

from cyclopts import Group, Parameter
from pydantic import BaseModel, Field

from charloom.cli.output import Output
from charloom.errors import UsageError
from charloom.runtime.detector import Threshold, check_false_alarms, fit_threshold
from charloom.runtime.scores import Ranking, Score, rank

ODD = 3  # the exit status where some line is odd
_MOST = 100_000  # odd lines that are held before a threshold is known

LinesOf = Callable[[str], Iterator[Score]]


@Parameter(name="*", group=Group("Alerts", sort_key=90))
class AlertOptions(BaseModel):
    """Options of what is odd enough."""

    alert: Annotated[bool, Parameter(negative=())] = Field(
        False,
        description="Only the lines that are odd, by --false-alarms and --good; the exit status is 3 if there are any.",
    )
    mask: list[str] = Field(
        [],
        description="A regular expression, such as '[0-9]+': what it matches is read and not charged. May be repeated.",
    )
    false_alarms: float = Field(
        1,
        description="How many false alarms are accepted a day; a day is as many lines as the threshold is fitted on.",
    )
    good: str | None = Field(
        None,
        description="A file of ordinary lines to fit the threshold on, such as yesterday's. If not given, the lines "
        "that are scored, of which those far from the others are taken for odd.",
    )

    def check(self, lines: bool) -> None:
        """Refuse what cannot work together."""
        if self.alert and not lines:
            raise UsageError("--alert is for lines: add --lines")
        if not self.alert and self.good is not None:
            raise UsageError("--good is for alerts: add --alert")
        check_false_alarms(self.false_alarms)


def odd_lines(
    out: Output, scores: Iterable[Score], lines_of: LinesOf, options: AlertOptions, by: Ranking
) -> Iterator[Score]:
    """The odd ones among scores of lines, in their order: as they come where the threshold is fitted on other lines."""
    if options.good is None:
        return _odd_among_themselves(out, scores, options, by)
    figures = array("d", (figure for one in lines_of(options.good) if (figure := rank(one, by)) is not None))
    threshold = fit_threshold(figures, options.false_alarms, good=True)
    _tell(out, threshold)
    return (replace(one, odd=True) for one in scores if threshold.is_odd(rank(one, by)))


def _odd_among_themselves(out: Output, scores: Iterable[Score], options: AlertOptions, by: Ranking) -> Iterator[Score]:
    figures = array("d")
    oddest: list[tuple[float, int, Score]] = []  # the costliest lines so far, a heap
    for one in scores:
        if (figure := rank(one, by)) is not None:
            add = heapq.heappush if len(oddest) < _MOST else heapq.heappushpop
            add(oddest, (figure, -len(figures), one))
            figures.append(figure)
    threshold = fit_threshold(figures, options.false_alarms, good=False)
    _tell(out, threshold)
    odd = [(-place, one) for figure, place, one in oddest if threshold.is_odd(figure)]
    if len(odd) == _MOST:
        out.warn(f"more than {_MOST:,} lines are odd: the model may not know this text; these are the oddest")
    for _, one in sorted(odd, key=lambda found: found[0]):
        yield replace(one, odd=True)


def _tell(out: Output, threshold: Threshold) -> None:
    out.say(
        f"(odd is what costs more than {threshold.bits:.2f} bits; an ordinary line costs {threshold.median:.2f} ± "
        f"{threshold.deviation:.2f}; fitted on {threshold.lines:,} lines)",
        style="dim",
    )
