"""The `Accept` header: which of the forms of an answer a client would rather have (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The form that a client likes best; the first of those it likes equally, and where it says nothing or takes none.

    Args:
        accept: the header's value, such as `text/plain, application/json;q=0.5`.
        offered: media types in lower case, the usual one first.
    """
    ranges = [_range(part) for part in accept.lower().split(",") if part.strip()]
    return max(offered, key=lambda form: _quality(form, ranges)) if ranges else offered[0]


def _range(part: str) -> tuple[str, float]:
    """A media range and how much it is liked, from 0 to 1."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            return name, _number(parameter.removeprefix("q="))
    return name, 1.0


def _number(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def _quality(form: str, ranges: list[tuple[str, float]]) -> float:
    """How much a form is liked: by the range that names it most exactly; 0 where none does."""
    for pattern in (form, f"{form.partition('/')[0]}/*", "*/*"):
        found = [quality for name, quality in ranges if name == pattern]
        if found:
            return max(found)
    return 0.0
