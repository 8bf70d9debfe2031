"""What README and docs say is true: their commands run, their links lead somewhere, their samples are real."""

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
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.fixture
def workplace(tmp_path: Path, small_text: Path) -> Path:
    """A folder with the files that the pages speak of, short enough to learn in seconds."""
    (tmp_path / "your-text.txt").write_text(small_text.read_text("utf-8")[:6000], "utf-8")
    syllables = ["an", "na", "le", "li", "mar", "el", "so", "jo"]
    names = [first + second + last for first in syllables for second in syllables for last in ("a", "ie", "n")]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def test_the_commands_of_the_readme_run_as_written(workplace: Path) -> None:
    commands = [
        line
        for block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith("charloom ")
    ]
    assert len(commands) >= 8
    for command in commands:
        ran = run([sys.executable, "-m", *shlex.split(command)], workplace)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        assert ran.stdout


def test_the_python_of_the_readme_runs_as_written(workplace: Path) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    ran = run([sys.executable, "-c", code], workplace)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.splitlines()[0]) > 1


@pytest.mark.parametrize("code", blocks(ROOT / "docs" / "how-to" / "embed-the-engine.md", "python"))
def test_the_python_of_the_engines_page_runs_as_written(workplace: Path, trained: Path, code: str) -> None:
    shutil.copytree(trained, workplace / "runs" / "yours")
    ran = run([sys.executable, "-c", code], workplace)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_the_skipped_commands_parse(workplace: Path) -> None:
    """What takes hours is not run, but its options exist: without a network it fails over that alone."""
    (block,) = blocks(ROOT / "README.md", "sh skip")
    train = block.splitlines()[0]
    ran = run([sys.executable, "-m", *shlex.split(train), "--device", "toaster"], workplace)
    assert ran.returncode == 2
    assert "toaster" in ran.stderr


def test_several_processes_as_the_page_starts_them(workplace: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "explanation" / "scaling-out.md", "sh skip")
    command = shlex.split(block.splitlines()[0])
    assert command[0] == "torchrun"
    short = ["--steps", "4", "--hidden-size", "8", "--device", "cpu"]
    ran = run([sys.executable, "-m", "torch.distributed.run", *command[1:], *short], workplace)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) <= 2, "one process speaks"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:src|scripts|tests|benchmarks|docs)/[\w./-]+)`", page.read_text("utf-8")):
        assert (ROOT / name).exists(), name
