"""The commands of the command line, and their options."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from cyclopts import App, Parameter
from cyclopts.argument import Argument
from docstring_parser import parse

from charloom.cli.main import make_app


@dataclass(frozen=True)
class Command:
    """A command: its words after `charloom`, what it is, and its options."""

    name: str
    text: str
    arguments: list[Argument]

    @property
    def options(self) -> list[Argument]:
        """What is given by name."""
        return [each for each in self.arguments if not is_positional(each)]

    @property
    def positional(self) -> list[Argument]:
        """What is given by place."""
        return [each for each in self.arguments if is_positional(each)]


def is_positional(argument: Argument) -> bool:
    """Whether an argument is given by its place."""
    return argument.index is not None


@cache
def commands() -> list[Command]:
    """Every command, those of `corpus` and `sagemaker` too."""
    root = make_app(overview=False)
    return [_command(words, app, root.default_parameter) for words, app in _found(root, ())]


def _found(app: App, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], App]]:
    for name in app:
        words = (*above, name)
        if name.startswith("-") or not _is_there(words):
            continue
        below: App = app[name]
        if below.default_command is not None:
            yield words, below
        yield from _found(below, words)


def _is_there(words: tuple[str, ...]) -> bool:
    """Whether a command's module exists: those of a package are listed before they are written."""
    home = importlib.util.find_spec(f"charloom.cli.{words[0]}")
    if len(words) == 1 or home is None or home.submodule_search_locations is None:
        return home is not None
    return importlib.util.find_spec(f"charloom.cli.{'.'.join(words)}") is not None


def _command(words: tuple[str, ...], app: App, inherited: Parameter | None) -> Command:
    function: Any = app.default_command
    described = parse(inspect.getdoc(function) or "")
    text = "\n\n".join(filter(None, (described.short_description, described.long_description)))
    collected = app.assemble_argument_collection(default_parameter=inherited, parse_docstring=True)
    return Command(" ".join(words), text, [each for each in collected if each.parse and each.show])
