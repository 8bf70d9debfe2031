"""A question that a person answers, or an option answered beforehand, before something that cannot be taken back."""

from __future__ import annotations

import sys

from charloom.cli.output import Output
from charloom.errors import UsageError


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
