"""docs/reference/python.md: the public names with their signatures and docstrings."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, is_typeddict

from docstring_parser import DocstringStyle, parse

from reference.markdown import code, page, prose, table

MODULES = ("charloom", "charloom.events", "charloom.options", "charloom.sagemaker")


def python_api() -> str:
    """The page."""
    intro = (
        "What can be imported from `charloom`, `charloom.events`, `charloom.options` and `charloom.sagemaker`: these "
        "names, and the [four functions](../how-to/package-for-sagemaker.md) of `charloom.sagemaker.inference`, are "
        "kept from version to version; everything else may change. Importing costs little; each name is loaded when "
        "it is first used. [At a glance](python-summary.md): all of them on one page, a line each."
    )
    return page("Python", intro, *(_module(name) for name in MODULES))


def _module(name: str) -> str:
    module = importlib.import_module(name)
    named = [(public, getattr(module, public)) for public in module.__all__]
    functions = [each for each in named if inspect.isfunction(each[1])]
    classes = [each for each in named if inspect.isclass(each[1])]
    others = [each for each in named if each not in functions and each not in classes]
    parts = [f"## {name}", prose((inspect.getdoc(module) or "").split("\n\n")[0])]
    parts += [_function(each, f"{name}.{public}", "###") for public, each in functions]
    parts += [_class(each, f"{name}.{public}") for public, each in classes]
    parts += [_other(module, name, public, each) for public, each in others]
    return "\n\n".join(parts)


def _other(module: ModuleType, name: str, public: str, value: Any) -> str:
    """A type's other name, as it is written with the sentence below it; or what else a module has."""
    if isinstance(value, str):
        return f"### {name}.{public}\n\nA {type(value).__name__}."
    written, said = other_name(module, public)
    return f"### {name}.{public}\n\n```python\n{written}\n```\n\n{prose(said)}"


def other_name(module: ModuleType, public: str) -> tuple[str, str]:
    """How a type's other name is written in a module, and the sentence below it."""
    body = ast.parse(inspect.getsource(module)).body
    place = next(
        number
        for number, each in enumerate(body)
        if isinstance(each, ast.Assign) and any(isinstance(to, ast.Name) and to.id == public for to in each.targets)
    )
    said = body[place + 1]
    assert isinstance(said, ast.Expr)
    assert isinstance(said.value, ast.Constant)
    return ast.unparse(body[place]), str(said.value.value)


def _function(function: Any, name: str, level: str) -> str:
    short = name.rpartition(".")[2]
    return "\n\n".join([f"{level} {name}", _signature(short, function), *_text(function)])


def _class(found: type, name: str) -> str:
    short = name.rpartition(".")[2]
    parts = [f"### {name}"]
    if issubclass(found, Exception):
        parts.append(f"An exception ([errors](errors.md)), a kind of {code(found.__mro__[1].__name__)}.")
    elif fields := fields_of(found):
        parts.append(_fields(short, fields))
    parts += _text(found)
    for member, value in members_of(found):
        if isinstance(value, property) or not callable(value):
            said = inspect.getdoc(value) or ""
            parts.append(f"#### {short}.{member}\n\n{prose(said)}")
        else:
            parts.append(_function(value, f"{short}.{member}", "####"))
    return "\n\n".join(parts)


def fields_of(found: type) -> dict[str, Any]:
    """The fields of a record and their types; none of another class."""
    if dataclasses.is_dataclass(found):
        return {field.name: field.type for field in dataclasses.fields(found) if field.repr}
    if is_typeddict(found):
        return {name: kind.__forward_arg__ for name, kind in found.__annotations__.items()}
    return {}


def _fields(short: str, fields: Mapping[str, Any]) -> str:
    return (
        "```python\nclass "
        + "\n".join([f"{short}:", *(f"    {name}: {kind}" for name, kind in fields.items())])
        + "\n```"
    )


def members_of(found: type) -> Iterator[tuple[str, Any]]:
    """What a class offers its users, in the order it is written: public, and described."""
    parts = [base for base in found.__mro__ if base.__module__.startswith("charloom.runtime.model")] or [found]
    for member, value in [item for part in parts for item in vars(part).items()]:
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        described = isinstance(inner, property) or inspect.isfunction(inner) or hasattr(inner, "attrname")
        text = (inspect.getdoc(inner) or "") if described else ""
        if text and not member.startswith("_") and not text.startswith("For the engine"):
            yield member, inner


def _signature(name: str, function: Any) -> str:
    """As it is written in the source, on one line where there is room."""
    arguments, returned = arguments_of(function)
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returned}"
    return f"```python\n{line}\n```"


def arguments_of(function: Any) -> tuple[list[str], str]:
    """A function's arguments as they are written in the source, without `self`, and what follows them."""
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(written, ast.FunctionDef | ast.AsyncFunctionDef)
    arguments = [each for each in _arguments(written.args) if each != "self"]
    return arguments, f" -> {ast.unparse(written.returns)}" if written.returns else ""


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    by_place = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(by_place) - len(arguments.defaults)) + [*arguments.defaults]
    yield from map(_argument, by_place, defaults)
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    yield from map(_argument, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")


def _text(documented: Any) -> list[str]:
    described = parse(inspect.getdoc(documented) or "", DocstringStyle.GOOGLE)
    text = [described.short_description, described.long_description]
    parts = [prose(part) for part in text if part]
    for head, kind in (("Argument", "param"), ("Attribute", "attribute")):
        found = [each for each in described.params if each.args[0] == kind]
        if found:
            parts.append(
                table((head, "what it is"), ((code(each.arg_name), prose(each.description or "")) for each in found))
            )
    if described.returns is not None and described.returns.description:
        parts.append(f"Returns: {prose(described.returns.description)}")
    if described.raises:
        rows = ((code(each.type_name), prose(each.description or "")) for each in described.raises)
        parts.append(table(("Raises", "when"), rows))
    return parts
