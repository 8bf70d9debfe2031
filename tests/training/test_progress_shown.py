"""`charloom.train` shows how it goes where somebody watches, and nowhere else."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import charloom
from charloom.events import Event


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def train(text: Path, folder: Path, **options: Any) -> None:
    charloom.train(text, folder, hidden_size=8, steps=4, evaluate_every=2, device="cpu", threads=1, **options)


def screen(printed: str) -> list[str]:
    """What stays to be read of lines that were written over."""
    return [line.rpartition("\r")[2] for line in printed.split("\n")]


def test_a_script_on_a_terminal_sees_how_it_goes(
    small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charloom.training.progress._BETWEEN", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train(small_text, tmp_path / "m")
    printed = terminal.getvalue()
    assert "\rstep 1/4" in printed or "step 1/4" in printed
    assert "step 3/4" in printed
    lines = screen(printed)
    assert any(line.startswith("learning ") for line in lines)
    assert sum("validation " in line for line in lines) >= 2
    assert lines[-2].startswith(f"saved {tmp_path / 'm'}")
    assert lines[-1] == "", "nothing is left of the line that moved"
    assert all(
        len(part) < 40 for line in printed.split("\n") for part in line.split("\r") if part.startswith("step 1/4")
    )


@pytest.mark.parametrize("options", [{"progress": False}, {"notify": lambda event: None}])
def test_it_can_be_turned_off_and_makes_room_for_others(
    small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train(small_text, tmp_path / "m", **options)
    assert terminal.getvalue() == ""


def test_a_run_that_fails_leaves_no_line(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(charloom.CorpusError):
        train(tmp_path / "nowhere.txt", tmp_path / "m")
    assert screen(terminal.getvalue())[-1] == ""


def test_a_notebook_shows_one_output_that_changes(
    small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charloom.training.progress._BETWEEN", 0.0)
    seen: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            seen.append(data["text/plain"])

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        seen.append(data["text/plain"])
        return Handle()

    ipython, ipython_display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython)["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    vars(ipython_display)["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython_display)
    train(small_text, tmp_path / "m")
    assert any(text.splitlines()[-1].startswith("step 3/4") for text in seen)
    assert seen[-1].splitlines()[-1].startswith("saved ")
    assert seen[-1].startswith("learning ")


def test_a_program_whose_output_is_kept_is_silent(small_text: Path, tmp_path: Path) -> None:
    code = f"""
import charloom
charloom.train({str(small_text)!r}, {str(tmp_path / "m")!r}, hidden_size=8, steps=2, device="cpu", threads=1)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_events_come_to_a_listener_as_before(small_text: Path, tmp_path: Path) -> None:
    heard: list[Event] = []
    train(small_text, tmp_path / "m", notify=heard.append)
    assert {"TrainingStarted", "StepTaken", "Evaluated", "ModelSaved"} <= {type(event).__name__ for event in heard}
