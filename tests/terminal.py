"""`charloom` on a real terminal, which may be narrow, be resized, or go away."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

SOURCES = str(Path(__file__).resolve().parents[1] / "src")
PATIENCE = 240.0  # seconds: a limit against hanging, whatever else the machine does

# The new session's first process takes the terminal for its own, so that closing it sends SIGHUP.
_BEGIN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"


class Terminal:
    """One command on one pseudo-terminal. Use as a context manager."""

    def __init__(self, arguments: Sequence[str], columns: int, **environment: str) -> None:
        """Start `charloom` with these arguments."""
        pty = pytest.importorskip("pty")
        try:
            master, slave = pty.openpty()
        except OSError:
            pytest.skip("no pseudo-terminal here")
        self._master: int | None = master
        self.printed = ""
        self.resize(columns)
        variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        command = [sys.executable, "-m", "charloom", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**variables, "PYTHONPATH": SOURCES, "TERM": "xterm", **environment},
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._master is not None:
            self.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def resize(self, columns: int) -> None:
        """Give the terminal another width."""
        import fcntl
        import termios

        assert self._master is not None
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, wanted: str) -> None:
        """Read what is printed until `wanted` is there."""
        while wanted not in self.printed:
            assert self._read(), f"it ended without {wanted!r}: {self.printed}"

    def finish(self) -> int:
        """Read to the end; returns the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """Close the window."""
        assert self._master is not None
        os.close(self._master)
        self._master = None

    def _read(self) -> bool:
        assert self._master is not None
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        assert ready, f"nothing came for {PATIENCE} s after: {self.printed}"
        try:
            part = os.read(self._master, 1 << 16)
        except OSError:  # Linux's way to say that the other end is closed
            part = b""
        self.printed += part.decode(errors="replace")
        return bool(part)


def on_a_terminal(arguments: Sequence[str], columns: int, **environment: str) -> str:
    """What a command that succeeds prints on a terminal of so many columns."""
    with Terminal(arguments, columns, **environment) as terminal:
        assert terminal.finish() == 0, terminal.printed
        return terminal.printed
