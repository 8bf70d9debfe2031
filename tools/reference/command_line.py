"""docs/reference/command-line.md."""

from __future__ import annotations

import inspect
from itertools import groupby
from typing import Any, get_args

from cyclopts.argument import Argument

from charloom.cli.main import COMMANDS
from charloom.cli.output import OUTPUT_GROUP
from reference.commands import Command, commands
from reference.kinds import bounds, kind
from reference.markdown import code, page, prose, shown, table


def command_line() -> str:
    """The page."""
    known = commands()
    output = [each for each in known[0].options if _group(each) == OUTPUT_GROUP.name]
    return page(
        "The command line",
        "`charloom COMMAND --help` says the same. Results go to stdout, everything else to stderr. The exit status "
        "is 0; 1 after a failure, 2 where an option or argument cannot work, 130 after Ctrl-C. An error is one line "
        "that says what to do ([errors](errors.md)).",
        table(("Command", ""), ((_link(name), text) for name, text in COMMANDS.items())),
        "Every command also takes:",
        _options(output),
        *(_section(command) for command in known),
    )


def _link(name: str) -> str:
    heads = [command.name for command in commands() if command.name.split()[0] == name]
    return f"[`{name}`](#charloom-{heads[0].replace(' ', '-')})" if heads else code(name)


def _section(command: Command) -> str:
    parts = [f"## charloom {command.name}", prose(command.text), f"```text\n{_usage(command)}\n```"]
    if command.positional:
        parts.append(table(("Argument", "Type", "Default", ""), map(_line, command.positional)))
    for name, options in groupby(command.options, _group):
        if name != OUTPUT_GROUP.name:
            parts += [] if name == "Parameters" else [f"**{name}**"]
            parts.append(_options(list(options)))
    return "\n\n".join(parts)


def _usage(command: Command) -> str:
    words = [_place(each) for each in command.positional]
    needed = [f"{each.names[0]} {each.names[0].strip('-').upper()}" for each in command.options if each.required]
    return " ".join(["charloom", command.name, *words, *needed, "[OPTIONS]"])


def _place(argument: Argument) -> str:
    name = argument.names[0].strip("-").upper()
    word = f"{name}..." if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL else name
    return word if argument.required else f"[{word}]"


def _options(options: list[Argument]) -> str:
    return table(("Option", "Type", "Default", ""), map(_line, options))


def _line(argument: Argument) -> tuple[str, str, str, str]:
    by_place = argument.index is not None
    names = argument.names[0].strip("-").upper() if by_place else ", ".join(map(code, argument.names))
    return names, _type(argument), _default(argument), prose(argument.parameter.help or "")


def _type(argument: Argument) -> str:
    words = "flag" if argument.is_flag() or argument.hint is bool else kind(argument.hint)
    metadata: list[Any] = []
    for item in get_args(argument.field_info.annotation)[1:]:
        metadata += [item, *getattr(item, "metadata", ())]
    limits = bounds(metadata)
    return f"{words}, {limits}" if limits else words


def _default(argument: Argument) -> str:
    default = argument.field_info.default
    if argument.required or default is inspect.Parameter.empty or default is False:
        return "required" if argument.required else ""
    return shown(default)


def _group(argument: Argument) -> str:
    groups = argument.parameter.group
    first = groups[0] if isinstance(groups, tuple) and groups else groups
    return str(getattr(first, "name", first))
