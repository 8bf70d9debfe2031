"""Lines that come one by one: each is answered before the next is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import charloom

LINES = ["ok", "The first line", "", "zzqqxxjjzz"]


def started(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "charloom", "score", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def answer(process: subprocess.Popen[bytes], line: str) -> str:
    """What comes back while the pipe stays open; the reading waits for it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()
    return process.stdout.readline().decode()


@pytest.mark.parametrize("form", ["--json", "--csv", "table"])
def test_a_pipe_is_answered_line_by_line(trained: Path, form: str) -> None:
    expected = list(charloom.load(trained).score_lines(LINES))
    with started(trained, "-", "--lines", *([] if form == "table" else [form])) as process:
        assert process.stdout is not None
        if form != "--json":
            assert process.stdout.readline().split()
        for line, score in zip(LINES, expected, strict=True):
            found = answer(process, line)
            if form == "--json":
                assert json.loads(found)["nats"] == score.nats
            assert line in found
        assert process.stdin is not None
        process.stdin.write(b"cut")
        process.stdin.close()
        assert "cut" in process.stdout.read().decode()
    assert process.returncode == 0


def test_a_reader_that_goes_away_and_ctrl_c_end_it_quietly(trained: Path) -> None:
    with started(trained, "-", "--lines", "--json") as process:
        assert answer(process, "one")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.wait(120) == 130
        assert b"Traceback" not in process.stderr.read()
    with started(trained, "-", "--lines", "--json") as process:
        assert answer(process, "one")
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(b"two\nthree\n", timeout=120)
    assert (process.returncode, b"Traceback" in errors) == (0, False)


def test_lines_of_a_generator_are_answered_one_by_one(trained: Path) -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in LINES:
            taken += 1
            yield line

    for number, score in enumerate(charloom.load(trained).score_lines(lines(), live=True), start=1):
        assert (taken, score.text) == (number, LINES[number - 1])
