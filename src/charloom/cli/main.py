"""`charloom`: the commands, and one place where errors become one line and an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from cyclopts import App, CycloptsError, Parameter

from charloom.cli.arguments import TYPED, NoSuchOptionError
from charloom.cli.examples import prologue
from charloom.cli.output import make_streams_safe
from charloom.cli.usage_errors import explain_mistake, no_such_option
from charloom.display import visible
from charloom.errors import CharloomError, UsageError
from charloom.interrupts import INTERRUPTED
from charloom.version import __version__

if TYPE_CHECKING:
    from charloom.cli.console import CommandConsole

# Each command is imported when it is called. So that `charloom --help` imports none, their descriptions are here.
COMMANDS = {
    "quickstart": "From nothing to new names and a text, in little more than a minute.",
    "train": "Train a model on a text and write its model directory.",
    "generate": "Continue a prompt with a trained model.",
    "score": "Measure how surprising files, or lines, are to a model.",
    "cross-score": "Find odd lines in a log of which no good day is to be had.",
    "classify": "Say which of several models explains files, or lines, best.",
    "evaluate": "Measure how well a model predicts a corpus.",
    "recite": "Measure how much of a text a model has memorized.",
    "novelty": "Measure how much of what a model writes is copied.",
    "inspect": "Say what a model is, what it was trained on, and whether it is whole.",
    "export": "Write a model as one file that other programs can run.",
    "push": "Put a model on the Hugging Face Hub, for others to use.",
    "serve": "Serve models over HTTP, with a page to play with them.",
    "corpus": "Named corpora, a look at any text, large texts prepared.",
    "sagemaker": "Amazon SageMaker: upload, train, attach, deploy, invoke, delete.",
}
_FULL = "cannot write the output: the disk is full; free some space and try again"
_APPS = {"corpus": "corpus_app", "sagemaker": "sagemaker_app"}  # those with commands of their own


def make_app(*, overview: bool, console: CommandConsole | None = None) -> App:
    """The commands; for an overview of all of them with what they do, else each speaks for itself.

    `console` shows help, where some may be asked for.
    """
    app = App(
        name="charloom",
        help="Train a character-level language model on your own text, and write with it.",
        version=__version__,
        console=console,
        help_prologue=prologue(""),
        default_parameter=Parameter(negative_iterable=(), show_default=_shown_default),
    )
    for place, (name, does) in enumerate(COMMANDS.items()):
        module = name.replace("-", "_")
        home = f"charloom.cli.{module}:{_APPS.get(name, module)}"
        said = {"help": does} if overview else {} if name in _APPS else {"help_prologue": prologue(name)}
        app.command(home, name=name, sort_key=place, **said)
    if overview:
        app.register_install_completion_command(
            help="Let this shell (bash, zsh, fish) complete what you type: a script, and a line in its startup file."
        )
    return app


def _shown_default(default: object) -> str | None:
    """A default as one would type it. Nothing where an option is simply not given: its text says what happens then."""
    return None if default is None or default is False or default in ([], ()) else str(default)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status: 0 ok, 1 failure, 2 usage, 130 interrupted."""
    given = _without_hyphens(list(sys.argv[1:] if arguments is None else arguments))
    TYPED.set(tuple(given))
    make_streams_safe()
    if sys.flags.optimize > 1 and _asks_for_help(given):
        _start_with_texts(given)
    status = _run(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:  # a full disk may show itself only here
        _abandon_stdout()
        status = status or _fail(given, error, CharloomError(_FULL))
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    overview = not arguments or arguments[0].startswith("-")
    prints_help = overview or arguments[0] in _APPS or _asks_for_help(arguments)
    app = make_app(overview=overview, console=_load_console() if prints_help else None)
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        _abandon_stdout()
        return 0
    except CycloptsError as error:
        return _fail(arguments, error, UsageError(explain_mistake(error, list(COMMANDS))))
    except NoSuchOptionError as error:
        return _fail(arguments, error, UsageError(no_such_option(error.option, _options(app, arguments))))
    except CharloomError as error:
        return _fail(arguments, error, error)
    except MemoryError as error:
        return _fail(arguments, error, CharloomError("out of memory: use a shorter text or a smaller model"))
    except Exception as error:
        message = f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (--debug shows where)"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            message = _FULL
        return _fail(arguments, error, CharloomError(message))
    return status if isinstance(status, int) else 0


def _asks_for_help(arguments: Sequence[str]) -> bool:
    return not arguments or bool({"--help", "-h"} & set(arguments))


def _load_console() -> CommandConsole:
    from charloom.cli.console import CommandConsole

    return CommandConsole()


def _without_hyphens(arguments: list[str]) -> list[str]:
    """The same arguments, where `--` ends the options: names after it begin with `./`, and with no hyphen."""
    options = arguments.index("--") + 1 if "--" in arguments else len(arguments)
    return arguments[:options] + [f"./{name}" if name[:1] == "-" != name else name for name in arguments[options:]]


def _start_with_texts(arguments: list[str]) -> NoReturn:
    """Start again as `python -O`: `python -OO` takes the texts out of the code that --help shows."""
    program = f"import sys; sys.path = {sys.path!r}; from charloom.cli.main import main; main()"
    os.environ["PYTHONOPTIMIZE"] = "1"
    os.execv(sys.executable, [sys.executable, "-P", "-c", program, *arguments])


def _options(app: App, arguments: list[str]) -> list[str]:
    """Every option of the command that was called."""
    _, apps, _ = app.parse_commands(arguments)
    collected = apps[-1].assemble_argument_collection(parse_docstring=False)
    return [name for each in collected for name in each.names if each.parse]


def _fail(arguments: list[str], error: BaseException, shown: CharloomError) -> int:
    if "--debug" in arguments:
        raise error
    sys.stderr.write(f"charloom: {visible(str(shown))}\n")
    return shown.exit_code


def _abandon_stdout() -> None:
    """The reader has gone: keep Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
