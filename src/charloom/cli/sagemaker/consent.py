"""Nothing that can cost much begins without consent: what it can cost, and a question that a person answers."""

from __future__ import annotations

import sys

from charloom.cli.output import Output
from charloom.errors import UsageError
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


def ask_agreement(out: Output, question: str, *, yes: bool, about: str = "") -> bool:
    """Whether to go on: `yes` says so, else a person at the terminal does."""
    if yes:
        return True
    if not _has_terminal():
        reason = about or "this costs money"
        raise UsageError(f"{reason}. There is no terminal to ask at: give --yes to agree to that")
    sys.stderr.write((f"{about}\n" if about else "") + f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _has_terminal() -> bool:
    """Whether a person can see a question and answer it."""
    try:
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    except ValueError:  # one of them is closed
        return False
