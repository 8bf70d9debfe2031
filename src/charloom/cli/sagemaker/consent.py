"""Nothing that costs money begins unasked: what it costs, and a question that a person answers."""

from __future__ import annotations

import sys

from charloom.cli.output import Output
from charloom.errors import UsageError
from charloom.sagemaker.prices import HOURS_A_MONTH, Cost, shown_price


def told_cost(what: str, cost: Cost) -> str:
    """A line for people: an amount an hour and a month, or that it is unknown."""
    if cost.per_hour is None or cost.per_month is None:
        return f"{what}: price unknown; {cost.note}"
    line = f"{what}: {shown_price(cost.per_hour)} an hour, {shown_price(cost.per_month)} a month ({HOURS_A_MONTH} h)"
    if cost.most_per_hour != cost.per_hour:
        line += f"; grown, {shown_price(cost.most_per_hour)} an hour, {shown_price(cost.most_per_month)} a month"
    return f"{line}; {cost.note}"


def agreed(out: Output, question: str, *, yes: bool) -> bool:
    """Whether to go on: `yes` says so, else a person at the terminal does.

    Raises:
        UsageError: nobody can be asked.
    """
    if yes:
        return True
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("this costs money, and nobody is at a terminal to be asked: give --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
