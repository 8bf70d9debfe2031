"""What is wrong with a value, in one line: the setting's name, the value, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from charloom.display import visible


def explain(
    error: ValidationError, *, in_file: bool = False, kind: type[BaseModel] | None = None, option: bool = False
) -> str:
    """The first problem pydantic found, as one line.

    Args:
        error: what pydantic found.
        in_file: name the setting as a file spells it, with underscores, not as the command line does.
        kind: the settings that were read; a misspelt name is then answered with the nearest one.
        option: name the setting as the option that was typed, with the value as it was typed.
    """
    problem = error.errors(include_url=False)[0]
    message = _plain(problem)
    place = ".".join(str(part) for part in problem["loc"])
    if not place:
        return message
    # A name can come from a hostile file: no line breaks or terminal escapes, and not for ever.
    name = visible(place[:100])
    if problem["type"] == "extra_forbidden":
        known = [] if kind is None else _names_at(kind, problem["loc"][:-1])
        return f"{name}: there is no such setting{did_you_mean(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":  # its input is all that was given beside it
        return f"{name} is missing"
    if option:
        typed = visible(str(problem["input"]))
        return f"{option_name(str(problem['loc'][0]))} {_cut(typed) or repr('')}: {message}"
    if not in_file:
        name = name.replace("_", "-")
    return f"{name} = {shorten(problem['input'])}: {message}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing where none is near."""
    return "".join(f"; did you mean {near}?" for near in get_close_matches(name.replace("-", "_"), list(known), 1))


def option_name(setting: str) -> str:
    """A setting as the command line spells it."""
    return "--" + setting.replace("_", "-")


_PLAIN = {
    "greater_than_equal": "give {ge} or more",
    "greater_than": "give more than {gt}",
    "less_than_equal": "give {le} or less",
    "less_than": "give less than {lt}",
    "finite_number": "give a finite number",
    "literal_error": "choose {expected}",
}
_PLAIN |= dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "give a whole number")
_PLAIN |= dict.fromkeys(("float_type", "float_parsing"), "give a number")
_PLAIN |= dict.fromkeys(("bool_type", "bool_parsing"), "give true or false")
_PLAIN |= dict.fromkeys(("list_type", "tuple_type"), "give a list")


def _plain(problem: ErrorDetails) -> str:
    """What would be right, in our words where pydantic's are a programmer's."""
    if problem["type"] in _PLAIN:
        bounds = {name: _figure(value) for name, value in problem.get("ctx", {}).items()}
        return _PLAIN[problem["type"]].format_map(bounds).replace("'", "")
    message = problem["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _names_at(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The names that are known at a place of settings."""
    for part in place:
        inner = kind.model_fields.get(str(part))
        if inner is None or not isinstance(inner.annotation, type) or not issubclass(inner.annotation, BaseModel):
            return []
        kind = inner.annotation
    return list(kind.model_fields)


def shorten(value: object) -> str:
    """A value as Python writes it, cut where it is too long for a message."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
