"""Slow proofs on fresh environments. `scripts/prove` runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ("PYTHONPATH", "VIRTUAL", "OMP_")  # variables that would carry this environment into the fresh one
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


def test_the_base_install_generates_without_torch(trained: Path, small_text: Path, tmp_path: Path) -> None:
    assert run(sys.executable, "-m", "venv", "base", cwd=tmp_path).returncode == 0
    python = tmp_path / "base/bin/python"
    installed = run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", ROOT, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    assert run(python, "-c", "import torch", cwd=tmp_path).returncode != 0

    charloom = tmp_path / "base/bin/charloom"
    generated = run(charloom, "generate", trained, "--prompt", "The ", "--length", "50", "--json", cwd=tmp_path)
    assert generated.returncode == 0, generated.stderr
    assert len(json.loads(generated.stdout)["text"]) == 50
    others: list[list[str | Path]] = [
        ["generate", trained, "--regex", "[A-Z][a-z]{3,8}"],
        ["generate", trained, "--samples", "64", "--length", "20"],
        ["score", trained, small_text, "--lines", "--top", "3"],
        ["recite", trained, small_text],
        ["novelty", trained, small_text, "--characters", "2000"],
        ["export", trained, "--onnx", "graph.onnx"],
        ["inspect", trained],
    ]
    for command in others:
        ran = run(charloom, *command, "--json", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert [json.loads(line) for line in ran.stdout.splitlines()]
    engine = (
        "import charloom, sys; e = charloom.load(sys.argv[1]).engine(); print(e.submit('a', length=9).result().text)"
    )
    assert run(python, "-c", engine, trained, cwd=tmp_path).returncode == 0
    adapting = run(charloom, "generate", trained, "--adapt", small_text, cwd=tmp_path)
    assert (adapting.returncode, "pip install 'charloom[train]'" in adapting.stderr) == (1, True)
    evaluated = run(charloom, "evaluate", trained, small_text, "--json", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    recorded = json.loads((trained / "config.json").read_text())["losses"]["stateful"]["loss"]
    assert json.loads(evaluated.stdout)["loss"] == pytest.approx(recorded, abs=1e-5)

    refused = run(charloom, "train", small_text, "-o", "m", cwd=tmp_path)
    assert refused.returncode == 1
    assert "pip install 'charloom[train]'" in refused.stderr


def test_quickstart_on_a_clean_clone_twice_and_from_elsewhere(tmp_path: Path) -> None:
    assert run("git", "clone", "-q", ROOT, tmp_path / "clone", cwd=tmp_path).returncode == 0
    for _ in range(2):
        ran = run(tmp_path / "clone/scripts/quickstart", cwd=Path("/"))
        assert ran.returncode == 0, ran.stderr
        for said in ran.stderr.split("Now prose"):
            losses = [float(loss) for loss in re.findall(r"validation (\d\.\d+) nats", said)]
            assert losses[-1] < losses[0]
        assert len(ran.stdout.split()) > 20
        assert "charloom generate runs/quickstart" in ran.stderr


def test_tiny_shakespeare_in_three_epochs(shakespeare: Path, tmp_path: Path) -> None:
    """The command that shows the whole path; the bound is what a prototype reached in that many epochs."""
    charloom = Path(sys.executable).with_name("charloom")
    command = f"train {shakespeare} -o m --epochs 3 --hidden-size 512 --json".split()
    trained = run(charloom, *command, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["losses"]["stateful"] < 1.56
    assert result["losses"]["windows-256"] < 1.58
    for protocol in ("stateful", "windows-256", "cold-60"):
        measured = run(charloom, "evaluate", "m", shakespeare, "--protocol", protocol, "--json", cwd=tmp_path)
        found = json.loads(measured.stdout)
        assert found["characters"] == 111_540
        if protocol in result["losses"]:
            assert found["loss"] == pytest.approx(result["losses"][protocol], abs=1e-5)
