"""docs/reference/python-summary.md: every public name on one page, a line each."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import charloom
from reference.markdown import code, page, prose
from reference.python_api import MODULES, arguments_of, fields_of, members_of, other_name


def python_summary() -> str:
    """The page."""
    intro = (
        "Every name that can be imported, with its signature and a sentence, and the methods of every class; a "
        "record's fields are in braces. Each name leads to its description in [Python](python.md)."
    )
    modules = [_module(name) for name in MODULES]
    return page("Python at a glance", intro, *modules, _other_types("\n".join(modules)))


def _module(name: str) -> str:
    module = importlib.import_module(name)
    lines = [line for public in module.__all__ for line in _lines(module, name, public)]
    return "\n".join([f"## {name}\n", *lines])


def _lines(module: ModuleType, name: str, public: str) -> Iterator[str]:
    value = getattr(module, public)
    full = f"{name}.{public}"
    if inspect.isfunction(value):
        yield _line(full, _signature(value), value)
    elif isinstance(value, str):
        yield _entry(full, type(value).__name__, "")
    elif not inspect.isclass(value):
        written, said = other_name(module, public)
        yield _entry(full, written.partition(" = ")[2], said)
    elif issubclass(value, Exception):
        yield _line(full, f"({value.__mro__[1].__name__})", value)
    else:
        fields = ", ".join(f"{field}: {kind}" for field, kind in fields_of(value).items())
        yield _line(full, f"{{{fields}}}" if fields else "", value)
        for member, inner in members_of(value):
            signature = _signature(inner) if inspect.isfunction(inner) else ""
            yield "    " + _line(f"{public}.{member}", signature, inner)


_OF_PYTHON = {
    "Any",
    "AsyncIterator",
    "Callable",
    "Exception",
    "False",
    "Iterable",
    "Iterator",
    "Literal",
    "Mapping",
    "NDArray",
    "None",
    "Path",
    "Sequence",
    "True",
    "Unpack",
}


def used_types(text: str) -> set[str]:
    """The names of types in the signatures of a summary."""
    written = " ".join(re.findall(r"\) `([^`]*)`", text))
    return set(re.findall(r"\b[A-Z]\w*[a-z]\w*\b", re.sub(r"'[^']*'", "", written))) - _OF_PYTHON


def _other_types(text: str) -> str:
    """Types that signatures name and that are not imported by themselves: what each is."""
    public = {name.rpartition(".")[2] for name in re.findall(r"\[`([\w.]+)`\]", text)}
    definitions = dict(_definitions())
    used = used_types(text)
    used |= {name for name in definitions if any(f"`Literal[{name}," in definitions.get(user, "") for user in used)}
    lines = [f"- {code(name)}: {definitions[name]}" for name in sorted(used - public)]
    return "\n".join(["## Other types in these signatures\n", *lines])


def _definitions() -> Iterator[tuple[str, str]]:
    """The classes and names of types in the code, and what is said of each; the last of a name counts."""
    files = sorted(Path(charloom.__file__).parent.rglob("*.py"))
    for file in sorted(files, key=lambda file: file.stem in ("settings", "masks", "weights")):
        body = ast.parse(file.read_text("utf-8")).body
        for each, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(each, ast.ClassDef):
                fields = [_field(part) for part in each.body if isinstance(part, ast.AnnAssign)]
                fields = [field for field in fields if not field.startswith("_")]
                record = " " + code(f"{{{', '.join(fields)}}}") if fields else ""
                yield each.name, prose(_first(ast.get_docstring(each) or "")) + record
            elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
                said = (
                    after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
                )
                yield each.targets[0].id, f"{code(ast.unparse(each.value))} {prose(_first(str(said)))}".strip()


def _field(written: ast.AnnAssign) -> str:
    """A field and its type, without what validates it."""
    kind = written.annotation
    if isinstance(kind, ast.Subscript) and ast.unparse(kind.value) == "Annotated":
        kind = kind.slice.elts[0] if isinstance(kind.slice, ast.Tuple) else kind.slice
    return f"{ast.unparse(written.target)}: {ast.unparse(kind)}"


def _first(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.split("\n\n")[0].split())


def _signature(function: Any) -> str:
    arguments, returned = arguments_of(function)
    return f"({', '.join(arguments)}){returned}"


def _line(name: str, written: str, documented: Any) -> str:
    return _entry(name, written, inspect.getdoc(documented) or "")


def _entry(name: str, written: str, said: str) -> str:
    """A name that leads to its description, what is written after it, and the first sentence said of it."""
    has_place = "__" not in name and not _has_twin(name)  # underscores make bold letters in a heading
    anchor = "#" + re.sub(r"[^\w-]", "", name.lower()) if has_place else ""
    signature = f" {code(written)}" if written else ""
    return f"- [{code(name)}](python.md{anchor}){signature}{': ' if said else ''}{prose(_first(said))}"


def _has_twin(name: str) -> bool:
    """Whether a function has the name of a class but for capitals, and with it the place in the page."""
    module, _, short = name.rpartition(".")
    return module in MODULES and short != short.lower() and short.lower() in importlib.import_module(module).__all__
