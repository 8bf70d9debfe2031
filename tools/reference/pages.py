"""All reference pages that are written from the code."""

from __future__ import annotations

from collections.abc import Callable

from reference.command_line import command_line
from reference.commands import commands
from reference.errors import errors_page
from reference.http_api import http_api
from reference.metrics import metrics
from reference.python_api import python_api
from reference.python_summary import python_summary
from reference.settings import settings

PAGES: dict[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "errors.md": errors_page,
    "http-api.md": http_api,
    "metrics.md": metrics,
    "python.md": python_api,
    "python-summary.md": python_summary,
    "settings.md": settings,
}


def option_names() -> str:
    """Every command with the names of its arguments and options: what `tests/cli/options.txt` pins."""
    lines = []
    for command in commands():
        places = [each.names[0].strip("-").upper() for each in command.positional]
        names = sorted(name for each in command.options for name in each.names)
        lines.append(" ".join(["charloom", command.name, *places, *names]))
    return "\n".join(lines) + "\n"
