"""The tree of a regular expression: what `parse.py` reads and `automaton.py` makes an automaton of."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Final

from charloom.errors import UsageError
from charloom.wrong_values import shorten


@dataclass(frozen=True)
class Atom:
    """One character: a literal, a class, or a dot. `source` and `flags` are what `re` is asked about it."""

    source: str
    flags: int
    code: int | None  # the literal's code point


@dataclass(frozen=True)
class Anchor:
    r"""`^`, `$`, `\A` or `\Z`."""

    source: str
    at_start: bool
    position: int


@dataclass(frozen=True)
class Sequence:
    """One after another."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    branches: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """From `least` to `most` times; without end if that is None."""

    item: Node
    least: int
    most: int | None


Node = Atom | Anchor | Sequence | Choice | Repeat
NOTHING: Final = Sequence(())


def compile_part(source: str, flags: int, pattern: str) -> re.Pattern[str]:
    """What Python makes of `source`, which is a part of `pattern`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": such a pattern means today what it means to us
            return re.compile(source, flags)
    except re.error as error:
        raise refusal(pattern, str(error).replace("\n", "\\n")) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise refusal(pattern, str(error)) from None


def refusal(pattern: str, reason: str) -> UsageError:
    """The error that says why a pattern cannot be used."""
    return UsageError(f"regex = {shorten(pattern)}: {reason}")


def simplify(node: Node, pattern: str, *, first: bool = True, last: bool = True) -> Node:
    """The tree without the anchors and the empty parts that say nothing, so that all that is left takes characters.

    Args:
        node: the tree, or a part of it.
        pattern: what it was read from, for the message.
        first: no character of a match can come before this part.
        last: none can come after it.
    """
    if isinstance(node, Anchor):
        if not (first if node.at_start else last):
            place = "start" if node.at_start else "end"
            raise refusal(
                pattern, f"{node.source} at position {node.position} is supported only at the {place} of a pattern"
            )
        return NOTHING
    if isinstance(node, Choice):
        branches = [simplify(branch, pattern, first=first, last=last) for branch in node.branches]
        taking = [branch for branch in branches if not takes_nothing(branch)]
        return Choice((*taking, NOTHING) if len(taking) < len(branches) else tuple(taking))
    if isinstance(node, Repeat):
        once = node.most is not None and node.most <= 1
        inside = simplify(node.item, pattern, first=first and once, last=last and once)
        return Repeat(inside, node.least, node.most)
    if isinstance(node, Sequence):
        return _simplify_sequence(node, pattern, first, last)
    return node


def _simplify_sequence(node: Sequence, pattern: str, first: bool, last: bool) -> Node:
    taking = [index for index, item in enumerate(node.items) if not takes_nothing(item)]
    begin, end = (taking[0], taking[-1]) if taking else (len(node.items), -1)
    items = [
        simplify(item, pattern, first=first and index <= begin, last=last and index >= end)
        for index, item in enumerate(node.items)
    ]
    return Sequence(tuple(items[index] for index in taking))


def takes_nothing(node: Node) -> bool:
    """Whether it never takes a character."""
    if isinstance(node, Sequence):
        return all(takes_nothing(item) for item in node.items)
    if isinstance(node, Choice):
        return all(takes_nothing(branch) for branch in node.branches)
    if isinstance(node, Repeat):
        return node.most == 0 or takes_nothing(node.item)
    return isinstance(node, Anchor)
