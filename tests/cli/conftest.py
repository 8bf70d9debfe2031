from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from charloom.cli.main import main


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one line on stdout."""
        (line,) = self.out.splitlines()
        data: dict[str, Any] = json.loads(line)
        return data


Charloom = Callable[..., Ran]


@pytest.fixture
def charloom(capsys: pytest.CaptureFixture[str]) -> Charloom:
    """Run the command line in this process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        status = stopped.value.code
        assert isinstance(status, int)
        return Ran(status, captured.out, captured.err)

    return run


def one_line(ran: Ran) -> str:
    """The error: exactly one line, no traceback."""
    (line,) = ran.err.splitlines()
    assert line.startswith("charloom: ")
    assert "Traceback" not in ran.err
    return line
