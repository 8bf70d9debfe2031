"""What watches a command cannot end it: terminals of any width, windows that close, readers that go away."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from charloom.bundle import open_model_directory
from tests.cli.conftest import Charloom
from tests.terminal import PATIENCE, SOURCES, Terminal, on_a_terminal

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMANDS = ("train", "serve", "")


def training(text: Path, folder: Path, steps: int = 20) -> list[str]:
    shape = ["--hidden-size", "16", "--num-layers", "1", "--batch-size", "4", "--bptt", "16", "--threads", "1"]
    return ["train", str(text), "-o", str(folder), *shape, "--steps", str(steps), "--evaluate-every", "10"]


def started(arguments: Sequence[str], *, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "charloom", *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": SOURCES}, stdout=stdout, stderr=stderr)


def is_whole(model: Path) -> bool:
    return all(file.harmless for file in open_model_directory(model).check_files())


@pytest.mark.parametrize("columns", ["0", "1", "2", "40"])
def test_help_fits_any_width(charloom: Charloom, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in COMMANDS:
        ran = charloom(*command.split(), "--help")
        assert ran.status == 0
        assert max(map(len, ran.out.splitlines())) <= max(20, int(columns) or 80)


WIDTHS = [1, *(pytest.param(columns, marks=pytest.mark.slow) for columns in (5, 10, 40, 200))]


@pytest.mark.slow
@pytest.mark.parametrize("columns", WIDTHS)
def test_a_run_ends_well_on_a_terminal_of_any_width(small_text: Path, tmp_path: Path, columns: int) -> None:
    printed = on_a_terminal(training(small_text, tmp_path / "m"), columns)
    assert "validation" in printed
    assert is_whole(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("columns", WIDTHS)
def test_every_view_fits_a_terminal_of_any_width(trained: Path, small_text: Path, columns: int) -> None:
    def said(*command: str) -> str:
        """However it is broken into lines."""
        return re.sub(r"\s", "", on_a_terminal(list(command), columns))

    assert "itiswhole" in said("inspect", str(trained))
    assert "bits/char" in said("score", str(trained), str(small_text), "--lines", "--top", "3")
    assert "The" in said("generate", str(trained), "--prompt", "The ", "--length", "20")
    assert "--port" in said("serve", "--help")


@pytest.mark.slow
def test_quickstart_on_the_narrowest_terminal(tmp_path: Path) -> None:
    on_a_terminal(["quickstart", "python-docs", "-o", str(tmp_path / "m"), "--steps", "20"], 1)
    assert is_whole(tmp_path / "m")


@pytest.mark.slow
def test_a_terminal_made_narrow_in_mid_run(small_text: Path, tmp_path: Path) -> None:
    with Terminal(training(small_text, tmp_path / "m", steps=200), 80) as terminal:
        terminal.read_until("validation")
        terminal.resize(8)
        assert terminal.finish() == 0, terminal.printed
    assert is_whole(tmp_path / "m")


@pytest.mark.slow
def test_a_window_that_closes_saves_the_best_so_far(small_text: Path, tmp_path: Path) -> None:
    with Terminal(training(small_text, tmp_path / "m", steps=1_000_000), 80) as terminal:
        terminal.read_until("validation")
        terminal.close()
        terminal.process.wait(PATIENCE)
    assert is_whole(tmp_path / "m")


@pytest.mark.slow
def test_nohup_goes_on_when_the_window_closes(small_text: Path, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    with log:
        process = subprocess.Popen(
            ["nohup", sys.executable, "-m", "charloom", *training(small_text, tmp_path / "m", steps=100)],
            env={**os.environ, "PYTHONPATH": SOURCES, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        with process.stderr:
            process.stderr.readline()
            process.send_signal(signal.SIGHUP)
            process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert is_whole(tmp_path / "m")
    assert open_model_directory(tmp_path / "m").config.training["result"]["interrupted"] is False


@pytest.mark.slow
def test_a_reader_of_the_log_goes_away(small_text: Path, tmp_path: Path) -> None:
    process = started(training(small_text, tmp_path / "m"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()  # as `2>&1 | head -1` does
    assert process.wait(PATIENCE) == 0
    assert is_whole(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's file that is always full")
@pytest.mark.parametrize("stdout_too", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_log_on_a_full_disk(small_text: Path, tmp_path: Path, stdout_too: bool) -> None:
    with Path("/dev/full").open("wb") as full:
        stdout = full.fileno() if stdout_too else subprocess.DEVNULL
        process = started(training(small_text, tmp_path / "m"), stdout=stdout, stderr=full.fileno())
        assert process.wait(PATIENCE) == (1 if stdout_too else 0)  # a result that was not written is a failure
    assert is_whole(tmp_path / "m")


def test_what_a_model_is_given_and_writes_cannot_act_on_a_terminal(trained: Path) -> None:
    prompt = "a\x1b[2J\x1b]0;owned\x07\x9b31m　猫"
    command = ["generate", str(trained), "--prompt", prompt, "--length", "20", "--quiet"]
    on_terminal = on_a_terminal(command, 80)
    assert not set("\x1b\x07\x9b") & set(on_terminal)
    assert "a\ufffd[2J\ufffd]0;owned\ufffd\ufffd31m　猫" in on_terminal
    piped = started(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).communicate()[0]
    assert piped.decode().startswith(prompt), "elsewhere every byte is exact"
