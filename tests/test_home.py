"""What commands leave in a user's home: their output, charloom's cache and charloom's state, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cli.main import COMMANDS
from tests.proofs.running import running

TINY = ("--hidden-size", "16", "--num-layers", "1", "--steps", "5", "--threads", "1")

LINES = {
    "quickstart": ["quickstart TEXT -o q --steps 20"],
    "train": ["train TEXT -o m TINY", "train TEXT -o tracked TINY --track tensorboard,mlflow"],
    "generate": ["generate MODEL --length 3", "generate MODEL --length 3 --adapt TEXT"],
    "score": ["score MODEL TEXT"],
    "cross-score": ["cross-score TEXT TINY"],
    "evaluate": ["evaluate MODEL TEXT"],
    "recite": ["recite MODEL TEXT --samples 2"],
    "novelty": ["novelty MODEL TEXT --characters 50"],
    "classify": ["classify MODEL OTHER TEXT --lines"],
    "push": [],  # it needs a hub: see tests/hub
    "inspect": ["inspect MODEL"],
    "export": ["export MODEL --onnx g.onnx", "export MODEL --html p.html"],
    "serve": [],  # it does not end by itself: served below
    "corpus": ["corpus list", "corpus show TEXT", "corpus prepare TEXT -o p"],
    "sagemaker": [
        "sagemaker package MODEL -o m.tar.gz",
        "sagemaker train TEXT --instance local --name job -o here TINY",
        "sagemaker list --here",
        "sagemaker status job",
        "sagemaker logs job",
        "sagemaker deploy MODEL --instance local --name end",
        "sagemaker invoke end --length 3",
        "sagemaker delete end",
    ],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no variable that leads elsewhere."""
    folder = tmp_path / "home"
    folder.mkdir()
    chosen = ("XDG_", "CHARLOOM_", "MPL", "MLFLOW_", "AWS_", "HF_", "TORCH_", "ORT_", "LOCALAPPDATA")
    for name in os.environ:
        if name.startswith(chosen):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def run(line: str, text: Path, model: Path) -> None:
    words: list[str] = []
    for word in line.split():
        words += TINY if word == "TINY" else [str({"TEXT": text, "MODEL": model, "OTHER": "other"}.get(word, word))]
    command = [sys.executable, "-m", "charloom", *words]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=250, check=False)
    assert ran.returncode == 0, f"{line}: {ran.stderr}"


def others(home: Path) -> list[str]:
    """What is left in the home, apart from charloom's own cache and state."""
    left = [path.relative_to(home).as_posix() for path in home.rglob("*")]
    own = (".cache", ".cache/charloom", ".local", ".local/state", ".local/state/charloom")
    within = tuple(f"{folder}/" for folder in own if folder.endswith("charloom"))
    return [path for path in left if path not in own and not path.startswith(within)]


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it knows where Linux keeps caches")


def test_writing_leaves_nothing_in_the_home_of_its_user(small_text: Path, trained: Path, home: Path) -> None:
    run(LINES["generate"][0], small_text, trained)
    assert others(home) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_command_leaves_anything_there(command: str, small_text: Path, trained: Path, home: Path) -> None:
    shutil.copytree(trained, "other")
    for line in LINES[command]:
        run(line, small_text, trained)
        assert others(home) == [], line
    if command == "serve":
        with running(trained):
            pass
        assert others(home) == []
