"""What an escape in a pattern stands for, as Python's `re` reads it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_CONTROLS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_BACKSPACE: Final = 8  # \b within a class
_OCTAL: Final = re.compile("[0-7]{1,3}")
_HEXADECIMAL: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_NAMED: Final = re.compile(r"N\{([^}]+)\}")


class MalformedError(Exception):
    """Not a pattern, at this position; `re` knows the words for it."""


def escaped_code(pattern: str, start: int) -> tuple[int, int]:
    r"""The code point that the escape at `start` stands for outside a class, and where it ends.

    Raises:
        MalformedError: it stands for none; \1 to \9 and \b, which do not either, are for the caller to know.
    """
    letter = pattern[start + 1 : start + 2]
    if letter == "0":
        return _number(_OCTAL, pattern, start, 8)
    if letter == "N":
        return _named(pattern, start)
    if letter and letter in "xuU":
        return _number(_HEXADECIMAL, pattern, start, 16)
    known = letter in _CONTROLS or not (letter.isascii() and letter.isalnum())
    if not letter or not known:
        raise MalformedError(start)
    return _CONTROLS.get(letter, ord(letter)), start + 2


def escaped_member(pattern: str, start: int) -> tuple[int, int]:
    r"""The same within a class, where \b is a backspace and all digits are octal."""
    letter = pattern[start + 1 : start + 2]
    if letter == "b":
        return _BACKSPACE, start + 2
    if letter and letter in "01234567":
        return _number(_OCTAL, pattern, start, 8)
    return escaped_code(pattern, start)


def _number(form: re.Pattern[str], pattern: str, start: int, base: int) -> tuple[int, int]:
    found = form.match(pattern, start + 1)
    if found is None:
        raise MalformedError(start)
    code = int(found[found.lastindex or 0], base)
    if code > 0x10FFFF:
        raise MalformedError(start)
    return code, found.end()


def _named(pattern: str, start: int) -> tuple[int, int]:
    found = _NAMED.match(pattern, start + 1)
    if found is None:
        raise MalformedError(start)
    try:
        return ord(unicodedata.lookup(found[1])), found.end()
    except (KeyError, TypeError):  # no such name, or that of several characters
        raise MalformedError(start) from None
