"""Processes that outlive the command that started them: known by their id and the moment that they began."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from pydantic import BaseModel, Field

_TICK = 0.05  # seconds

# Our own children, so that those that have ended are known from those that run.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Process(BaseModel):
    """A process, such that another one that got its id after it is not taken for it.

    Attributes:
        pid: its id, which is its group's and its session's too.
        began: the moment that it began, in the system's own words.
    """

    pid: int = Field(gt=1)  # 0 and below mean groups, 1 is everybody's parent
    began: str

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        child = _children.get(self.pid)
        if child is not None:
            return child.poll() is None
        return _began(self.pid) == self.began

    def status(self) -> int | None:
        """The exit status of a child of ours that has ended (minus the signal that ended it); None if unknown."""
        child = _children.get(self.pid)
        return None if child is None else child.poll()

    def terminate(self) -> None:
        """Ask it to end. Its children are its own to end: a second signal would mean "at once" to some."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self, patience: float) -> None:
        """Ask it to end, wait `patience` seconds for that, then end it and all of its group."""
        if not self.alive:
            return
        self.terminate()
        deadline = time.monotonic() + patience
        while self.alive and time.monotonic() < deadline:
            time.sleep(_TICK)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: the group may be of zombies only
            os.killpg(self.pid, signal.SIGKILL)
        while self.alive:
            time.sleep(_TICK)


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: IO[bytes], log: IO[bytes]
) -> Process:
    """Start a process in a session of its own: what the terminal sends to us does not reach it.

    Args:
        command: the program and its arguments.
        folder: where it starts.
        environment: all its variables.
        out: takes what it writes to stdout.
        log: takes what it writes to stderr.
    """
    child = subprocess.Popen(
        list(command),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=log,
        start_new_session=True,
    )
    _children[child.pid] = child
    return Process(pid=child.pid, began=_began(child.pid) or "")


def this_process() -> Process:
    """The one that asks."""
    return Process(pid=os.getpid(), began=_began(os.getpid()) or "")


def _began(pid: int) -> str | None:
    """When the process of this id began; None where there is none, or it has ended and waits to be noticed."""
    try:
        # After the name, which may hold anything: the state, then the 20th field is the start in ticks since boot.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _began_by_ps(pid)
    if fields[0] in ("Z", "X"):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{fields[19]} {boot.read_text().strip() if boot.exists() else ''}".strip()


def _began_by_ps(pid: int) -> str | None:
    """The same where there is no /proc, as on macOS."""
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = told.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()
