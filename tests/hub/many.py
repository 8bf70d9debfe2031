"""Run the commands that stdin lists as JSON, one after another in this process; print what each did as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from charloom.cli.main import main


def run(arguments: list[str]) -> tuple[int, str, str]:
    """One command: status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    sys.stdout.write(json.dumps([run(arguments) for arguments in json.load(sys.stdin)]))
