"""docs/reference/errors.md: the exceptions, exit statuses and HTTP statuses."""

from __future__ import annotations

import inspect
import re

import charloom
from charloom import errors
from charloom.errors import CharloomError, CloudError, MissingExtraError, UsageError
from charloom.interrupts import INTERRUPTED
from charloom.serving.errors import as_api_error
from reference.markdown import code, page, prose, table


def errors_page() -> str:
    """The page."""
    document = inspect.getdoc(errors) or ""
    drawing = next(part for part in re.split(r"\n\n", document) if "├" in part)
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, CharloomError)]
    rows = ((code(f"charloom.errors.{kind.__name__}"), str(kind.exit_code), _http(kind), _said(kind)) for kind in kinds)
    public = ", ".join(code(f"charloom.{kind.__name__}") for kind in kinds if kind.__name__ in charloom.__all__)
    return page(
        "Errors",
        "What charloom raises on purpose is one tree of exceptions; a message is one line that says what was wrong and "
        f"what to do about it. {public} can be imported from `charloom` itself.",
        f"```text\n{inspect.cleandoc(drawing)}\n```",
        table(("Exception", "Exit status", "HTTP", ""), rows),
        "## Exit statuses",
        table(("Status", ""), _statuses()),
        "## Where it comes from",
        "`--debug` shows where an error comes from. Over HTTP every refusal has [one shape](http.md#errors); "
        "errors that are the server's own fault are a 500 with an id that is in its log.",
    )


def _statuses() -> list[tuple[str, str]]:
    return [
        ("0", "It worked. A reader that went away, as `head` does, is no failure."),
        (str(CharloomError.exit_code), "It failed, and one line on stderr says why; a model is not whole (`inspect`)."),
        (str(UsageError.exit_code), "An option, argument or setting cannot work."),
        (str(INTERRUPTED), "Ctrl-C, or SIGTERM or SIGHUP while training: the best so far is saved."),
    ]


def _said(kind: type[CharloomError]) -> str:
    return prose((inspect.getdoc(kind) or "").partition("\n\n")[0].replace(f" Exit status {kind.exit_code}.", ""))


def _http(kind: type[CharloomError]) -> str:
    """The status that a server answers with."""
    error = kind("what", "extra") if kind in (MissingExtraError, CloudError) else kind("what")
    answer = as_api_error(error)
    return str(answer.status) if answer is not None else "500"
