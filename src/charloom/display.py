"""How text that others wrote is shown: names of files, models' strings and texts, lines of a log.

Only what can act on a terminal, or break a line where none ends, is replaced. Spaces, joiners, combining marks and
emoji are shown as they are.
"""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Control characters (Cc), lone surrogates (Cs), line and paragraph separators, what turns the direction of a line.
_ACTING = "\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069"
_IN_A_LINE = re.compile(f"[{_ACTING}]")
_IN_LINES = re.compile(rf"(?![\n\t])[{_ACTING}]")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with `REPLACEMENT` for each character that can act on a terminal; its length does not change.

    Args:
        text: what somebody else wrote.
        lines: keep newlines and tabs; otherwise the result is one line without tabs.
    """
    return (_IN_LINES if lines else _IN_A_LINE).sub(REPLACEMENT, text)


def safe_json(line: str) -> str:
    r"""One line of JSON with `\u` escapes for the characters that `visible` would replace: the same data."""
    return _IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
