r"""Reads a regular expression, as Python's `re` writes it, into a tree.

`re` itself says what is a valid pattern and which characters a class matches; only the structure is read here.
Python's own parser is private, and the library that reads such patterns into automata, `interegular` 0.3.3, differs
from `re` (ASCII `\d` and `\w`; `a++a` matches; `[]a]` is misread; `\u00e9` and `(?x)` are refused), has had no release
since January 2024 and determinizes at once: `(a?){30}a{30}` takes it over a minute.

What no automaton of characters can say, or not exactly, is refused by name: backreferences, lookaround, conditional
and atomic groups, possessive quantifiers, word boundaries, and anchors inside a pattern.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from charloom.errors import UsageError
from charloom.runtime.patterns.expression import (
    Anchor,
    Atom,
    Choice,
    Node,
    Repeat,
    Sequence,
    compile_part,
    refusal,
    simplify,
)

_CONTROLS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_BACKSPACE: Final = 8  # \b within a class
_OCTAL: Final = re.compile("[0-7]{1,3}")
_HEXADECIMAL: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_NAMED: Final = re.compile(r"N\{([^}]+)\}")

MAX_PATTERN: Final = 10_000  # characters of a pattern
MAX_DEPTH: Final = 100  # groups within groups
MAX_CLASSES: Final = 64  # different classes of a pattern: each is asked about every character
MAX_CASELESS: Final = 1 << 20  # characters that the ranges of case-insensitive classes span together: `re` walks them
_TYPES: Final = re.ASCII | re.UNICODE
_FLAGS: Final = {"a": re.A, "i": re.I, "m": re.M, "s": re.S, "u": re.U, "x": re.X, "L": re.L}
_THREE_OCTAL: Final = re.compile("[0-7]{3}")  # fewer digits, not led by a zero, name a group
_INLINE: Final = re.compile("([aiLmsux]*)(?:-([imsx]+))?([:)])")
_COUNTS: Final = re.compile(r"\{(?=[0-9,])([0-9]*)(?:(,)([0-9]*))?\}")
_GROUPS: Final = {
    "=": "lookahead",
    "!": "lookahead",
    "<=": "lookbehind",
    "<!": "lookbehind",
    "P=": "a backreference",
    "(": "a conditional group",
    ">": "an atomic group",
}
_ZERO_WIDTH: Final = {"^": True, "A": True, "$": False, "Z": False}  # anchor: whether it is one of the start


class MalformedError(Exception):
    """Not a pattern, at this position; `re` knows the words for it."""


def escaped_code(pattern: str, start: int) -> tuple[int, int]:
    r"""The code point that the escape at `start` means outside a class, and where it ends."""
    letter = pattern[start + 1 : start + 2]
    if letter == "0":
        return _number(_OCTAL, pattern, start, 8)
    if letter == "N":
        return _named_code_point(pattern, start)
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


def _named_code_point(pattern: str, start: int) -> tuple[int, int]:
    found = _NAMED.match(pattern, start + 1)
    if found is None:
        raise MalformedError(start)
    try:
        return ord(unicodedata.lookup(found[1])), found.end()
    except (KeyError, TypeError):  # no such name, or that of several characters
        raise MalformedError(start) from None


def parse_pattern(pattern: str) -> Node:
    """The tree of a pattern, simplified."""
    if len(pattern) > MAX_PATTERN:
        raise refusal(pattern, f"it has {len(pattern):,} characters, more than {MAX_PATTERN:,}")
    try:
        try:
            tree = _Parser(pattern, verbose=False).parse()
        except _VerboseError:
            tree = _Parser(pattern, verbose=True).parse()
    except MalformedError as problem:
        compile_part(pattern, 0, pattern)  # tells what is wrong in Python's words
        raise refusal(pattern, f"cannot be read at position {problem}") from None
    compile_part(pattern, 0, pattern)
    return simplify(tree, pattern)


class _VerboseError(Exception):
    """The pattern begins with the global flag x: read it again, knowing that."""


class _Parser:
    def __init__(self, pattern: str, verbose: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags = re.X.value if verbose else 0
        self._depth = 0
        self._classes: set[str] = set()
        self._caseless = 0

    def parse(self) -> Node:
        tree = self._choice()
        if self._at < len(self._pattern):
            raise self._malformed()
        return tree

    def _choice(self) -> Node:
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            here = self._at
            token = self._take()
            if self._flags & re.X and self._is_layout(token):
                continue
            counts = self._counts(token)
            if counts is not None:
                if not items:
                    raise self._malformed()
                items.append(self._repeat(items.pop(), counts, here))
                continue
            item = self._item(token, here)
            if item is not None:
                items.append(item)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _is_layout(self, token: str) -> bool:
        """In verbose mode: whether it is white space or a comment, which ends at an unescaped line break."""
        if token == "#":
            while self._at < len(self._pattern) and self._take() != "\n":
                pass
            return True
        return token in " \t\n\r\v\f"

    def _counts(self, token: str) -> tuple[int, int | None] | None:
        """The bounds of the quantifier that begins with `token`; None if it is none."""
        if token in "?*+":
            return (0, 1) if token == "?" else (int(token == "+"), None)
        found = _COUNTS.match(self._pattern, self._at - 1) if token == "{" else None
        if found is None:
            return None
        self._at = found.end()
        least, comma, most = found.groups()
        try:
            return int(least or 0), int(most) if most else None if comma else int(least)
        except ValueError:  # thousands of digits
            raise self._malformed() from None

    def _repeat(self, item: Node, counts: tuple[int, int | None], here: int) -> Node:
        if self._skip("+"):
            raise self._unsupported("a possessive quantifier", here)
        self._skip("?")  # lazy: the same texts
        return Repeat(item, *counts)

    def _item(self, token: str, here: int) -> Node | None:
        if token in ("^", "$"):
            return Anchor(token, _ZERO_WIDTH[token], here)
        if token == "(":
            return self._group(here)
        if token == "[":
            return self._class(here)
        if token == ".":
            return Atom(".", self._flags & re.S, None)
        return self._escape(token, here) if token[0] == "\\" else self._literal(ord(token))

    def _literal(self, code: int) -> Atom:
        return Atom(re.escape(chr(code)), self._flags & (re.I | re.A) if self._flags & re.I else 0, code)

    def _escape(self, token: str, here: int) -> Node:
        letter = token[1:]
        if letter in ("A", "Z"):
            return Anchor(token, _ZERO_WIDTH[letter], here)
        if letter in ("b", "B"):
            raise self._unsupported(f"a word boundary, {token},", here)
        if letter and letter in "dDwWsS":
            return Atom(token, self._flags & (re.I | re.A), None)
        if letter and letter in "123456789":
            octal = _THREE_OCTAL.match(self._pattern, here + 1)
            if octal is None:
                raise self._unsupported("a backreference", here)
            self._at = octal.end()
            return self._literal(int(octal[0], 8))
        code, self._at = escaped_code(self._pattern, here)
        return self._literal(code)

    def _class(self, here: int) -> Atom:
        """From behind the bracket to its end; only the ranges are looked at, for their width."""
        self._skip("^")
        first = True
        while first or not self._skip("]"):
            first = False
            low = self._member()
            if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
                self._at += 1
                high = self._member()
                if low is None or high is None or high < low:
                    raise self._malformed()
                self._caseless += high - low if self._flags & re.I else 0
        source = self._pattern[here : self._at]
        self._classes.add(source)
        if len(self._classes) > MAX_CLASSES:
            raise refusal(self._pattern, f"it has more than {MAX_CLASSES} different classes")
        if self._caseless > MAX_CASELESS:
            raise refusal(self._pattern, "the ranges of its case-insensitive classes are too wide")
        return Atom(source, self._flags & (re.I | re.A), None)

    def _member(self) -> int | None:
        r"""The code point of one member of a class; None if it is a class itself, such as \d."""
        if self._at >= len(self._pattern):
            raise self._malformed()
        here = self._at
        token = self._take()
        if token[0] != "\\":
            return ord(token)
        letter = token[1:]
        if letter and letter in "dDwWsS":
            return None
        code, self._at = escaped_member(self._pattern, here)
        return code

    def _group(self, here: int) -> Node | None:
        """From behind the parenthesis to its end; None if it is a comment or sets flags for all."""
        before = self._flags
        if self._skip("?") and self._extension(here):
            return None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise refusal(self._pattern, f"its groups are nested more than {MAX_DEPTH} deep")
        inside = self._choice()
        self._depth -= 1
        if not self._skip(")"):
            raise self._malformed()
        self._flags = before
        return inside

    def _extension(self, here: int) -> bool:
        """Read what follows `(?`; True if the group ends there."""
        for mark, name in _GROUPS.items():
            if self._pattern.startswith(mark, self._at):
                raise self._unsupported(name, here)
        if self._skip("#"):
            while self._take() != ")":
                pass
            return True
        if self._skip("P<"):
            self._at = self._pattern.find(">", self._at) + 1
            if not self._at:
                raise self._malformed()
            return False
        return self._set_flags()

    def _set_flags(self) -> bool:
        """Read `:`, `i)`, `i-s:` and the like; True if the flags are for the whole pattern."""
        found = _INLINE.match(self._pattern, self._at)
        if found is None or (found[3] == ")" and (found[2] or not found[1])):
            raise self._malformed()
        self._at = found.end()
        for letter in found[1]:
            flag = _FLAGS[letter].value
            if found[3] == ")" and flag == re.X and not self._flags & re.X:
                raise _VerboseError
            self._flags = (self._flags & ~_TYPES if flag & _TYPES else self._flags) | flag
        for letter in found[2] or "":
            self._flags &= ~_FLAGS[letter].value
        return found[3] == ")"

    def _take(self) -> str:
        """The next character; with a backslash, the one behind it too."""
        if self._at >= len(self._pattern):
            raise self._malformed()
        token = self._pattern[self._at : self._at + (2 if self._pattern[self._at] == "\\" else 1)]
        self._at += len(token)
        return token

    def _skip(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        self._at += len(text) * found
        return found

    def _malformed(self) -> MalformedError:
        return MalformedError(self._at)

    def _unsupported(self, name: str, position: int) -> UsageError:
        return refusal(self._pattern, f"{name} at position {position} is not supported")
