"""Real `charloom` processes, to be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = (
    600.0  # seconds for what takes a few, on a machine that others keep busy; only a process that hangs needs more
)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def start(*arguments: object, module: str = "charloom") -> subprocess.Popen[str]:
    """Start `python -m charloom …`, its streams in pipes."""
    return _start("-m", module, *arguments)


def start_code(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `python -c CODE …`, its streams in pipes."""
    return _start("-c", code, *arguments)


def _start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(str(argument) for argument in arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running process is to do."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended with {process.returncode} before its time: {out}{err}")
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing happened: {end(process)}")
        time.sleep(0.005)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process to end: its status, what it said on stdout and on stderr."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it did not end: {end(process)}") from None
    return process.returncode, out, err


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a process that hangs; SIGTERM first, so that a launcher can end its workers. Returns what it said."""
    process.terminate()
    try:
        return process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


def result(process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    """Wait for a process started with --json and return the one line that it writes."""
    ended, out, err = finish(process)
    assert ended == status, err
    (line,) = out.splitlines()
    data: dict[str, Any] = json.loads(line)
    return data


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint of a run; -1 where there is none."""
    names = [path.stem for path in (folder / "training").glob("checkpoint-*.safetensors")]
    return max((int(name.removeprefix("checkpoint-")) for name in names), default=-1)


def history(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's history, which is in `training/` while the folder holds a model from before."""
    own = folder / "training" / "metrics.jsonl"
    path = own if own.exists() else folder / "metrics.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Running:
    """A `charloom` process that is certainly gone when the block ends, its streams closed."""

    def __init__(self, *arguments: object, module: str | None = "charloom", cwd: Path | None = None) -> None:
        words = [str(argument) for argument in arguments]
        self.process = subprocess.Popen(
            [sys.executable, *(() if module is None else ("-m", module)), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=cwd,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that it is to do."""
        wait_until(happened, self.process)

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end: its status, what it said on stdout and on stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err
