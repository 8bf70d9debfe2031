"""What commands print: results on stdout, everything else on stderr, on a console of any width."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Group, Parameter
from pydantic import BaseModel, Field

from charloom.cli.variables import misspelt_variables
from charloom.display import ForgivingStream, safe_json, visible
from charloom.events import Notice, Warned

if TYPE_CHECKING:
    from rich.text import Text

    from charloom.cli.console import CommandConsole

OUTPUT_GROUP = Group("Output", sort_key=100)


@Parameter(name="*", group=OUTPUT_GROUP)
class OutputOptions(BaseModel):
    """Options that every command takes."""

    json_lines: Annotated[bool, Parameter(name="--json", negative=())] = Field(
        False, description="One JSON object a result on stdout, and nothing else there."
    )
    quiet: Annotated[bool, Parameter(negative=())] = Field(
        False, description="Say nothing on stderr but errors and logs that were passed over."
    )
    debug: Annotated[bool, Parameter(negative=())] = Field(False, description="Show the traceback of an error.")


class Output:
    """The two streams of a command."""

    def __init__(self, options: OutputOptions) -> None:
        """Follow the user's choice of JSON and quiet."""
        self.json = options.json_lines
        self.quiet = options.quiet
        self._warnings: list[str] = []
        self._on_terminal = sys.stdout.isatty()
        logging.getLogger("charloom").handlers = [_Notes(self)]
        logging.getLogger("charloom.hub").setLevel(logging.INFO)  # what is fetched
        for name, near in misspelt_variables(os.environ):
            self.warn(f"the variable {name} in the environment is not read; did you mean {near}?")

    @cached_property
    def console(self) -> CommandConsole:
        """stderr, laid out for people."""
        from charloom.cli.console import CommandConsole

        terminal = sys.stderr.isatty()
        return CommandConsole(
            stderr=True,
            quiet=self.quiet,
            highlight=False,
            emoji=False,  # :smile: in a name is not one
            soft_wrap=not terminal,
            force_interactive=None if terminal else False,  # FORCE_COLOR asks for colours, not for a moving bar
        )

    @cached_property
    def results(self) -> CommandConsole:
        """stdout, where it can show colours."""
        from charloom.cli.console import CommandConsole

        return CommandConsole(highlight=False, emoji=False, markup=False)

    def result(self, data: dict[str, Any]) -> None:
        """One JSON line on stdout, with the warnings there were since the last one."""
        if self._warnings:
            data, self._warnings = {**data, "warnings": self._warnings}, []
        line = json.dumps(data, ensure_ascii=not _is_utf8(sys.stdout), allow_nan=False)
        self.text(safe_json(line))

    def result_of_warnings(self) -> None:
        """A JSON line of warnings that no result has carried; nothing where there are none."""
        if self._warnings:
            self.result({})

    def text(self, text: str, end: str = "\n") -> None:
        """Text on stdout, at once."""
        self.write(text + end)
        self.flush()

    def write(self, text: str) -> None:
        """Text on stdout: exact, except that on a terminal nothing in it can act."""
        with _closed_terminal_as_pipe():
            sys.stdout.write(visible(text, lines=True) if self._on_terminal else text)

    def prose(self, pieces: Iterable[str]) -> None:
        """Text on stdout as it comes, then a line end; on a terminal broken between words."""
        if not self._on_terminal:
            for piece in pieces:
                self.text(piece, end="")
        else:
            from charloom.cli.wrapping import WordWrap

            wrapping = WordWrap(self.width)
            for piece in pieces:
                self.text(wrapping.feed(visible(piece, lines=True)), end="")
            self.text(wrapping.rest(), end="")
        self.text("")

    @property
    def width(self) -> int:
        """Columns of stdout: the terminal's, else 80."""
        return max(1, shutil.get_terminal_size().columns) if self._on_terminal else 80

    def can_show(self, text: str) -> bool:
        """Whether stdout's encoding has every character of a text."""
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def sentences(self, text: str) -> None:
        """Lines for people on stdout; on a terminal broken between words, but for a command, which is copied whole."""
        for line in text.split("\n"):
            if line.startswith("    charloom "):
                self.text(line)
            else:
                self.prose([line])

    def coloured(self, text: Text) -> None:
        """Text on stdout with its colours, broken between words."""
        with _closed_terminal_as_pipe():
            self.results.print(text)

    @property
    def has_colours(self) -> bool:
        """Whether stdout shows colours: a terminal that has some, where the user has not set NO_COLOR."""
        return self.results.color_system is not None and not self.results.no_color

    def flush(self) -> None:
        """Hand on what was written."""
        with _closed_terminal_as_pipe():
            sys.stdout.flush()

    def say(self, text: str, style: str | None = None) -> None:
        """Lines for people on stderr, printed as they are: no markup is read in them.

        A line with a command is broken by the terminal alone, so that it can be copied whole.
        """
        if self.quiet:
            return
        for line in visible(text, lines=True).split("\n"):
            command = line.startswith("    charloom ") or None
            self.console.print(line, style=style, markup=False, soft_wrap=command)

    def note(self, notice: Notice) -> None:
        """A note on stderr. What changes the meaning of a result is said even when quiet, and is in its JSON."""
        if not isinstance(notice, Warned):
            self.say(f"note: {notice.message}", style="yellow")
            return
        self._warnings.append(notice.message)
        if self.quiet:
            sys.stderr.write(f"warning: {visible(notice.message)}\n")
        else:
            self.warn(notice.message)

    def warn(self, text: str) -> None:
        """A warning on stderr."""
        self.say(f"warning: {text}", style="yellow")


class _Notes(logging.Handler):
    """What the library logs, as notes."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(Notice(self.format(record)))


def make_streams_safe() -> None:
    """Where a stream cannot show a character it gets an escape instead of a crash; a closed one is as if empty."""
    if sys.stdin is None:  # a parent may have closed any of the three
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stderr, ForgivingStream):  # what watches a command cannot end it
        sys.stderr = ForgivingStream(sys.stderr)


@contextlib.contextmanager
def _closed_terminal_as_pipe() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EIO:
            raise BrokenPipeError from error
        raise


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"
