"""A version has one source, and scripts/release reads right what it reads; tests/proofs/test_packaging.py runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import charloom
from charloom.version import __version__
from release import audited, pinned, versioned

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_has_one_source() -> None:
    assert charloom.__version__ == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", __version__)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'dynamic = ["version"]' in project
    assert 'path = "src/charloom/version.py"' in project
    assert f"## {__version__} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_a_tag_of_this_commit_is_the_version() -> None:
    command = ["git", "tag", "--points-at", "HEAD", "--list", "v*"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert set(ran.stdout.split()) <= {f"v{__version__}"}


@pytest.mark.parametrize(
    ("tag", "day", "said"),
    [
        ("v9.9.9", "2026-01-31", "is not v"),
        (None, "unreleased", "no day"),
        (None, "2026-01-31", "OWNER/charloom in: pyproject.toml"),
    ],
)
def test_a_tag_that_is_wrong_or_too_early_is_refused(tmp_path: Path, tag: str | None, day: str, said: str) -> None:
    """Before anything is built."""
    for name in ("scripts/release", "src/charloom/version.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text("https://github.com/OWNER/charloom", "utf-8")
    (tmp_path / "CHANGELOG.md").write_text(f"## {__version__} ({day})\n", "utf-8")
    command = [str(tmp_path / "scripts/release"), tag or f"v{__version__}"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, said in ran.stderr) == (1, True), ran.stderr
    assert not (tmp_path / "build").exists()


def test_what_pip_would_install() -> None:
    install = [{"metadata": {"name": name, "version": "1.0"}} for name in ("numpy", "charloom", "Boto3")]
    assert pinned({"install": install}) == ["Boto3==1.0", "numpy==1.0"]


def test_what_could_not_be_looked_up_is_not_called_sound() -> None:
    found = [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}, {"name": "b", "version": "2", "vulns": []}]
    audit = {"dependencies": [*found, {"name": "c", "skip_reason": "not found"}]}
    assert audited(audit) == (["a 1: CVE-1"], "2 of 3 packages looked up, 1 weaknesses known")


def test_the_bill_says_of_which_version_it_is() -> None:
    bill = {"metadata": {"component": {"name": "charloom"}, "tools": []}, "components": []}
    component = {"name": "charloom", "version": "1.2.3"}
    assert versioned(bill, "1.2.3") == {"metadata": {"component": component, "tools": []}, "components": []}
