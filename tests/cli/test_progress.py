from __future__ import annotations

import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from charloom.cli.console import CommandConsole
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView, fit_line
from charloom.events import Evaluated, Event, ModelSaved, StepTaken, TrainingStarted
from charloom.report import duration, evaluated_parts
from tests.terminal import on_a_terminal

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def started(**changes: Any) -> TrainingStarted:
    values: dict[str, Any] = {
        "output": "runs/m", "parameters": 123_456_789, "vocab_size": 12_345, "characters": 9_876_543_210,
        "validation_characters": 987_654_321, "batch_size": 65_536, "bptt": 65_536, "steps": 12_345_678,
        "steps_per_epoch": 1234, "device": "cuda:0", "resumed_from_step": 1_234_567,
    }  # fmt: skip
    return TrainingStarted(**{**values, **changes})


def step(number: int = 12_345_677, **changes: Any) -> StepTaken:
    values: dict[str, Any] = {
        "step": number, "steps": 12_345_678, "epoch": 10.5, "loss": 1.2345, "learning_rate": 0.001,
        "characters_per_second": 123_456_789.0, "seconds_left": 4_000_000.0,
    }  # fmt: skip
    return StepTaken(**{**values, **changes})


def evaluated(**changes: Any) -> Evaluated:
    values: dict[str, Any] = {
        "step": 12_345_677, "steps": 12_345_678, "epoch": 1234.56, "train_loss": 1.2345, "validation_loss": 1.4342,
        "bits_per_char": 2.0691, "protocol": "windows-256", "best": False, "characters_per_second": 1e6,
        "sample": "to be, or not to be. " * 8,
    }  # fmt: skip
    return Evaluated(**{**values, **changes})


def view(width: int, *, terminal: bool, quiet: bool = False, **options: Any) -> tuple[TrainingView, CommandConsole]:
    output = Output(OutputOptions(quiet=quiet))
    output.console = CommandConsole(
        width=width,
        record=True,
        force_terminal=terminal,
        force_interactive=terminal,
        soft_wrap=not terminal,
        quiet=quiet,
        highlight=False,
        **options,
    )
    return TrainingView(output), output.console


EVENTS: list[Event] = [started(), step(), evaluated(), evaluated(best=True), step(), ModelSaved("runs/m", 12)]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_line_is_wider_than_it_may_be(
    width: int, terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charloom.cli.progress._LINE_EVERY", 0.0)
    shown, _ = view(width, terminal=terminal)
    with shown:
        for event in EVENTS:
            shown(event)
            shown._bar.refresh()
    printed = ESCAPE.sub("", capsys.readouterr().out)
    lines = re.split(r"[\r\n]+", printed)
    assert not terminal or max(cell_len(line) for line in lines) <= width
    assert any("validation 1.4342 nats" in line for line in lines)


def test_a_log_has_every_field_in_every_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charloom.cli.progress._LINE_EVERY", 0.0)
    shown, _ = view(20, terminal=False)
    shown(step(10_137, steps=4_000_000, characters_per_second=10_000_000.0, seconds_left=100_000))
    shown(evaluated(best=False))
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("step"))
    assert re.fullmatch(r"step .*/.* · loss .* · .* bits/char · .* chars/s · .* left", first)
    assert re.fullmatch(r"step .* · epoch .* · train .* · validation .* nats = .* bits/char · not best", second)


def test_eighty_columns_hold_all_that_matters(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = view(80, terminal=True)
    with shown:
        shown(started(steps=6_270, steps_per_epoch=627, resumed_from_step=0))
        shown(step(3_000, steps=6_270, characters_per_second=412_345.0, seconds_left=723))
        shown._bar.refresh()
        shown(evaluated(step=3_000, best=True))
    printed = ESCAPE.sub("", capsys.readouterr().out)
    assert "loss 1.234 · 1.78 bits/char · 412,345 chars/s · 12 min 03 s left" in printed
    assert "step 3,000 · train 1.234 · validation 1.4342 nats = 2.069 bits/char" in printed
    assert printed.count("protocol windows-256") == 1


def test_a_log_gets_a_progress_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    shown, _ = view(80, terminal=False)
    with shown:
        shown(started(resumed_from_step=0))
        for number in range(1, 121):
            now += 0.5
            shown(step(number, steps=400, characters_per_second=10_000.0, seconds_left=60))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert len(lines) == 4
    assert lines[0] == "step 30/400 · loss 1.234 · 1.78 bits/char · 10,000 chars/s · 1 min 00 s left"


def test_a_sample_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = view(80, terminal=False)
    shown(evaluated(sample="\x1b[2J\x1b]0;title\x07\rab\tc\u202e"))
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(printed)
    assert "ab" in printed


def test_wide_letters_count_twice(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = view(80, terminal=False)
    shown(evaluated(sample="世" * 160))
    lines = [line for line in capsys.readouterr().out.splitlines() if "世" in line]
    assert max(cell_len(line) for line in lines) <= 80
    assert "".join(lines).count("世") == 160


def test_a_long_sample_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = view(80, terminal=False)
    shown(evaluated(sample="ann\n" * 40))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert lines == ["    ann"] * 5 + ["    ann…"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown, _ = view(80, terminal=True, quiet=True)
    with shown:
        for event in EVENTS:
            shown(event)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("width", "line"), [(20, "a · bbb · cc"), (12, "a · bbb · cc"), (11, "a · cc"), (5, "cc"), (1, "c")]
)
def test_fitted(width: int, line: str) -> None:
    assert fit_line([(2, "a"), (3, "bbb"), (1, "cc")], width) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (3661, "1 h 01 min"), (1e7, "2,777 h 46 min"), (float("inf"), "?")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def training(text: Path, folder: Path) -> list[str]:
    return ["train", str(text), "-o", str(folder), "--hidden-size", "64", "--steps", "200", "--threads", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "environment"), [(80, {}), (60, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})]
)
def test_a_real_terminal(
    small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, environment: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = on_a_terminal(training(small_text, Path("m")), columns, **environment)
    lines = re.split(r"[\r\n]+", ESCAPE.sub("", printed))
    assert max(cell_len(line) for line in lines) <= columns
    assert any(re.search(r"validation \d\.\d{4} nats = \d\.\d{3} bits/char", line) for line in lines)
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in printed
    else:
        assert any(re.search(r"loss \d\.\d{3} · .* left", line) for line in lines)  # the bar
    if environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", printed)  # no colour


@pytest.mark.slow
def test_a_log_file_has_no_escapes_even_when_colour_is_forced(small_text: Path, tmp_path: Path) -> None:
    import subprocess

    ran = subprocess.run(
        [sys.executable, "-m", "charloom", *training(small_text, Path("m"))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCES, "FORCE_COLOR": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b[?25l" not in ran.stderr  # nothing that moves
    assert max(cell_len(ESCAPE.sub("", line)) for line in ran.stderr.splitlines()) <= 80


def test_a_training_loss_that_is_not_known_yet_is_left_out() -> None:
    said = {loss: [words for _, words in evaluated_parts(evaluated(train_loss=loss))] for loss in (1.5, math.nan)}
    assert "train 1.500" in said[1.5]
    assert not any("train" in words or "nan" in words for words in said[math.nan])
