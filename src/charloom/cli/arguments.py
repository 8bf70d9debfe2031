"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token
from pydantic import Field

from charloom.cli.usage_errors import no_such_option
from charloom.errors import UsageError

TYPED: ContextVar[tuple[str, ...]] = ContextVar("TYPED", default=())
"""What was typed after `charloom`, for messages that name the command to run again."""

# What is typed stays a string; that it may be a path lets shells complete the names of files. `-` is standard input;
# the command-line library takes a lone hyphen for an option otherwise.
NameOrFile = str | Path
CorpusArgument = Annotated[NameOrFile, Parameter(allow_leading_hyphen=True)]


def _whole(_: object, tokens: Sequence[Token]) -> int:
    return int(tokens[0].value)


Whole = Parameter(converter=_whole)  # the command-line library itself takes 1.5 for 2
Threads = Annotated[int, Field(ge=1, le=1024), Whole]


def _destination(_: object, tokens: Sequence[Token]) -> Path:
    option, path = tokens[0].keyword, tokens[0].value
    # The command-line library takes -out for -o ut, and -overwrite for -o verwrite.
    if f"{option}{path}" in TYPED.get() and path.partition("=")[0] in ("ut", "utput", "verwrite"):
        raise UsageError(no_such_option(f"{option}{path}", ["--output", "--overwrite"]))
    if not path:  # would be the current folder
        raise UsageError(f"{option} is followed by an empty name: is it a shell variable that is not set?")
    return Path(path)


Destination = Parameter(name=["--output", "-o"], converter=_destination)
Written = Parameter(converter=_destination)
"""A place to write under an option of its own name."""


class NoSuchOptionError(UsageError):
    """Among the names of texts is what was meant to be an option. The command line adds the nearest one."""

    def __init__(self, option: str) -> None:
        """Say that there is no such `option`."""
        super().__init__(f"there is no option {option} here")
        self.option = option


def split_words(split: str) -> str:
    """A part of a text, as a result names it."""
    return "the whole text" if split == "all" else f"the {split} split"


def corpus_specs(corpus: Sequence[str | Path]) -> list[str]:
    """The corpora that were named, after refusing what was meant to be an option.

    Raises:
        UsageError: one is empty, or begins with a hyphen and is not `-` itself.
    """
    specs = [str(spec) for spec in corpus]
    for spec in specs:
        if spec.startswith("-") and spec != "-":
            raise NoSuchOptionError(spec)
        if not spec:
            raise UsageError("a text has an empty name: is it a shell variable that is not set?")
    return specs
