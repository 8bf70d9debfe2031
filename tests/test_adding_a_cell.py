"""The page on adding a cell, followed: its patches applied to a copy of the source, its commands run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "add-a-cell.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def run(command: list[str], folder: Path, given: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=250, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr}"
    return ran.stdout


@pytest.mark.slow
def test_the_page_adds_a_cell_that_learns_and_runs(tmp_path: Path, small_text: Path) -> None:
    folder = tmp_path / "charloom"
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "benchmarks").mkdir()
    (folder / "tools").mkdir()
    (folder / "your-text.txt").write_text(small_text.read_text("utf-8")[:6000], "utf-8")
    for patch in blocks("diff"):
        run(["git", "apply", "-"], folder, patch)
    shown = {}
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line.removeprefix("python -m "))
        shown[words[1]] = run([sys.executable, "-m", *words], folder)
    assert re.search(r"[1-9]\d passed", shown["-q"])
    assert len(shown["generate"]) > 100
    assert "MGU 1 × 64" in shown["inspect"]
    assert '"cell":"gru"' in (folder / "mgu.html").read_text("utf-8"), "the browser's script is told of a cell it knows"
