"""What instances cost: a dated table, an override, and "unknown" for everything else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

PriceKind = Literal["hosting", "training"]

HOURS_A_MONTH = 730
"""As Amazon's own calculator has it."""

_REFERENCE = "us-east-1"
UNKNOWN = "unknown"


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("charloom.sagemaker").joinpath("prices.json").read_text("utf-8"))
    return table


def price_per_hour(
    instance: str, region: str, override: float | None = None, kind: PriceKind = "hosting"
) -> float | None:
    """USD an hour of one instance, or None: unknown, which is not zero.

    Args:
        instance: such as ml.m5.large.
        region: prices differ by region; one that the table lacks is unknown.
        override: what the user says it costs.
        kind: hosting (endpoints, batch transform) or training.
    """
    if override is not None:
        return override
    price = _table()["regions"].get(region, {}).get(instance, {}).get(kind)
    return None if price is None else float(price)


def price_note(instance: str, region: str, override: float | None = None, kind: PriceKind = "hosting") -> str:
    """Where a price comes from, or what is known instead of it."""
    if override is not None:
        return "the price is the one that was given"
    if price_per_hour(instance, region, None, kind) is not None:
        return f"prices as of {_table()['as_of']}, from {_table()['source']}"
    elsewhere = price_per_hour(instance, _REFERENCE, None, kind)
    known = "" if elsewhere is None else f"it is {elsewhere:g} USD an hour in {_REFERENCE}; "
    return f"the price of {instance} in {region} is not in charloom's table: {known}give it with --price"


def shown_price(dollars: float | None) -> str:
    """An amount for people: "unknown" where it is."""
    if dollars is None:
        return UNKNOWN
    if 0 < dollars < 0.01:
        return "< 0.01 USD"
    return f"{dollars:,.2f} USD" if dollars >= 1 else f"{dollars:.4g} USD"


@dataclass(frozen=True)
class Cost:
    """What something costs for as long as it exists.

    Attributes:
        per_hour: USD, at its smallest size; None: unknown.
        most_per_hour: USD, at the largest size it may grow to; None: unknown.
        note: where the figure comes from, or why there is none.
    """

    per_hour: float | None
    most_per_hour: float | None
    note: str

    def stated(self, what: str) -> str:
        """A line for people about `what`: an amount an hour and a month, or that it is unknown."""
        if self.per_hour is None or self.per_month is None:
            return f"{what}: price unknown; {self.note}"
        month = f"{shown_price(self.per_month)} a month ({HOURS_A_MONTH} h)"
        idle = self.per_hour == 0 and self.most_per_hour
        line = f"{what}: " + ("nothing while it is idle" if idle else f"{shown_price(self.per_hour)} an hour, {month}")
        if self.most_per_hour != self.per_hour:
            line += f"; grown, {shown_price(self.most_per_hour)} an hour, {shown_price(self.most_per_month)} a month"
        return f"{line}; {self.note}"

    @property
    def per_month(self) -> float | None:
        """USD in 730 hours."""
        return None if self.per_hour is None else self.per_hour * HOURS_A_MONTH

    @property
    def most_per_month(self) -> float | None:
        """USD in 730 hours at the largest size."""
        return None if self.most_per_hour is None else self.most_per_hour * HOURS_A_MONTH
