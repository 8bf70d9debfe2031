"""Nothing that can cost much begins without consent: what it can cost, and a question that a person answers."""

from __future__ import annotations

from charloom.cli.consent import ask_agreement
from charloom.cli.output import Output
from charloom.sagemaker.aws import Aws

ASKED_ABOVE = 5.0
"""USD: what can cost more in all, or an unknown amount, is asked about."""


def may_cost(out: Output, aws: Aws, price: str, most: float | None, question: str, *, yes: bool) -> bool:
    """Say what something costs, and ask whether it may, where that can be much or is unknown.

    Args:
        out: where it is said.
        aws: the account; a dry run costs nothing, and never asks.
        price: what it costs, in words.
        most: USD that it can cost in all; None where that is unknown, or where only deleting it ends it.
        question: such as "deploy it?".
        yes: the answer, given beforehand.
    """
    if yes or aws.dry or (most is not None and most <= ASKED_ABOVE):
        out.say(price)
        return True
    return ask_agreement(out, question, yes=False, about=price)
