"""Errors of the command line: one plain line that says what to type instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import get_args

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.exceptions import ValidationError as ArgumentError
from pydantic import ValidationError

from charloom.errors import UsageError
from charloom.wrong_values import explain


def explain_mistake(error: CycloptsError, commands: Sequence[str]) -> str:
    """The line for what the command-line library refuses; `commands` are the first words it knows."""
    if isinstance(error, ArgumentError) and isinstance(error.__cause__, ValidationError):
        return _refused_value(error, error.__cause__)
    if isinstance(error, UnknownCommandError):
        return _no_such_command(error, commands)
    if isinstance(error, UnknownOptionError):
        typed = error.token.keyword or error.token.value
        return no_such_option(typed, [name for each in error.argument_collection for name in each.names])
    if isinstance(error, UnusedCliTokensError):
        return _too_many(error)
    if type(error) is MissingArgumentError:
        return _missing(error)
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice: leave one out"
    if isinstance(error.__cause__, UsageError):  # a value that we refused ourselves
        return str(error.__cause__)
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        return _wrong_kind(error)
    return " ".join(str(error).split())


def no_such_option(typed: str, known: Iterable[str]) -> str:
    """An option that the command has not, and the nearest one that it has."""
    option = typed.partition("=")[0]
    near = _nearest(option.replace("_", "-"), [name for name in known if name.startswith("--")])
    advice = f"did you mean {near}?" if near else "--help shows those there are"
    return f"there is no option {option} here; {advice}"


def _nearest(typed: str, known: Sequence[str]) -> str | None:
    """The word that was meant, if it is clear: one that it begins, or one like it."""
    word, words = typed.strip("-"), {name.strip("-"): name for name in known}
    begun = [name for name in words if len(word) > 2 and name.startswith(word)]
    return next((words[name] for name in (begun if len(begun) == 1 else get_close_matches(word, words, 1))), None)


def _refused_value(error: ArgumentError, cause: ValidationError) -> str:
    # A setting names itself; a plain parameter is named by cyclopts; a whole group of settings has no name.
    name = "" if error.argument is None or cause.errors()[0]["loc"] else error.argument.name
    if name in ("", "*"):
        return explain(cause, option=True)
    return f"{name} {cause.errors()[0]['input']}: {explain(cause)}"


def _no_such_command(error: UnknownCommandError, commands: Sequence[str]) -> str:
    typed = (error.unused_tokens or [""])[0]
    if typed.startswith("-") and not error.command_chain:
        near = _nearest(typed, ("--help", "--version", "--install-completion"))
        advice = f"did you mean charloom {near}?" if near else "options follow it, as in charloom generate MODEL --json"
        return f"there is no option {typed} before a command; {advice}"
    words = ["charloom", *(error.command_chain or ())]
    known = commands if not error.command_chain or error.app is None else list(error.app)
    near = _nearest(typed, [name for name in known if not name.startswith("-")])
    if typed in ("help", "version"):
        near = f"charloom --{typed}"
    advice = f"did you mean {near}?" if near else f"{' '.join(words)} --help shows those there are"
    return f"there is no command {typed!r}; {advice}"


def _too_many(error: UnusedCliTokensError) -> str:
    typed = (error.unused_tokens or [""])[0]
    words = " ".join(error.command_chain or ())
    after = _after_hyphens(error)
    late = _too_late([*(error.unused_tokens or ()), *after], after) if typed in after else None
    if late is not None:
        return f"{words}: {late}"
    advice = "a prompt follows --prompt" if words == "generate" else f"charloom {words} --help shows what it takes"
    return f"{words} cannot use {typed!r}: {advice}"


def _missing(error: MissingArgumentError) -> str:
    assert error.argument is not None
    words = " ".join(error.command_chain or ())
    option = error.keyword or next((token.keyword for token in error.argument.tokens if token.keyword), None)
    if option is not None:
        return f"{option} needs a value after it"
    late = _too_late([f"./{name}" for name in error.argument.names], _after_hyphens(error))
    if late is not None:
        return f"{words}: {late}"
    positional = error.argument.index is not None
    name = error.argument.name.lstrip("-").upper() if positional else error.argument.name
    typed = [each.partition("=")[0] for each in error.root_input_tokens or () if each.startswith("-")]
    near = next((each for each in typed if not positional and _nearest(each, error.argument.names)), None)
    if near is not None:
        return no_such_option(near, error.argument.names)
    shown = name if positional or error.argument.hint is bool else f"{name} {_kind(error.argument.hint)}"
    return f"{words} needs {shown}; charloom {words} --help shows how"


def _after_hyphens(error: CycloptsError) -> list[str]:
    """The words after `--`; those that begin with a hyphen have got `./`."""
    words = error.root_input_tokens or []
    return words[words.index("--") + 1 :] if "--" in words else []


def _too_late(words: Sequence[str], after: Sequence[str]) -> str | None:
    """What is said of the first of `words` that looks like an option and is one of those after `--`."""
    late = next((word[2:] for word in words if word.startswith("./-") and word in after), None)
    return None if late is None else f"{late} is after --, where every word is a name: put options before --"


def _kind(hint: object) -> str:
    return getattr(hint, "__name__", "value").upper()


def _wrong_kind(error: CoercionError) -> str:
    assert error.argument is not None
    assert error.token is not None
    name = error.token.keyword or error.argument.name.lstrip("-").upper()
    choices = [str(each) for each in get_args(error.target_type) if isinstance(each, str)]
    wanted = {int: "give a whole number", float: "give a number", bool: "it is given without a value"}
    if choices:
        advice = f"choose {', '.join(choices[:-1])} or {choices[-1]}"
    elif kind := next((each for each in wanted if each in (error.target_type, *get_args(error.target_type))), None):
        advice = wanted[kind]
    else:
        return " ".join(str(error).split())
    return f"{name} {error.token.value}: {advice}"
