"""Types and bounds in words."""

from __future__ import annotations

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from charloom.settings import Duration

_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Duration: "time",
    dict: "mapping",
    Any: "anything",
}
_LOW = {"ge": "from {}", "gt": "above {}"}
_HIGH = {"le": "to {}", "lt": "below {}"}


def kind(hint: Any) -> str:
    """A type hint in words: `Literal["a", "b"]` is "a, b", `list[str]` is "text, several times"."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in parts if part is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (list, tuple):
        return f"{kind(parts[0])}, several times"
    if origin is dict:
        return "mapping"
    return _NAMES.get(hint) or str(getattr(hint, "__name__", hint))


def bounds(metadata: Iterable[Any]) -> str:
    """The bounds among a field's metadata: "from 1 to 32"."""
    found: dict[str, Any] = {}
    for item in metadata:
        for name in (*_LOW, *_HIGH):
            if getattr(item, name, None) is not None:
                found[name] = getattr(item, name)
    words = [form.format(_number(found[name])) for name, form in {**_LOW, **_HIGH}.items() if name in found]
    return " ".join(words)


def _number(value: float) -> str:
    if value >= 1 << 31:
        power = int(value).bit_length()
        return f"2^{power} - 1" if value == (1 << power) - 1 else f"2^{power - 1}"
    return f"{int(value):,}" if value == int(value) else str(value)
