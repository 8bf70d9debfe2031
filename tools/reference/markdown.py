"""Small pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by scripts/reference from the code: change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """A page that says who wrote it."""
    return "\n\n".join([f"# {title}", NOTE, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold anything but are shown on one line."""
    lines = [_row(head), "|" + "---|" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def code(text: object) -> str:
    """Something as it is typed."""
    return f"`{text}`"


def shown(value: object) -> str:
    """A default as a user would write it; nothing where there is none."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return code("true" if value else "false")
    if isinstance(value, int):
        return code(f"{value:_}") if abs(value) >= 100_000 else code(value)
    return code(f"{value:g}") if type(value) is float else code(value)


def prose(text: str) -> str:
    """A docstring's text: markup is made plain outside of code, examples are set as code, pages linked."""
    return "\n\n".join(_example(part) if part.startswith(">>>") else _plain(part) for part in text.split("\n\n"))


def _example(text: str) -> str:
    return f"```pycon\n{text}\n```"


def _plain(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text)
    plain = "".join(part if part.startswith("`") else re.sub(r"([<*\[])", r"\\\1", part) for part in parts)
    return re.sub(r"\bdocs/([\w/-]+?)/([\w-]+)\.md", r"[\2](../\1/\2.md)", plain)
