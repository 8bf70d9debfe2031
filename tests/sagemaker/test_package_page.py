"""The page on packages and images: its commands run as written, those for an account as a dry run."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.test_documents import ROOT, blocks, run

PAGE = ROOT / "docs" / "how-to" / "package-for-sagemaker.md"


def charloom(block: str, folder: Path, *more: str) -> str:
    ran = run([sys.executable, "-m", *shlex.split(block), *more], folder)
    assert ran.returncode == 0, f"{block}\n{ran.stderr}"
    return ran.stdout


@pytest.mark.slow
def test_the_page(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs/yours")
    (packing,) = blocks(PAGE, "sh")
    assert "model.tar.gz" in charloom(packing, tmp_path)
    (vendoring,) = blocks(PAGE, "sh network")
    charloom(vendoring, tmp_path, "--dry-run")
    (code,) = blocks(PAGE, "python")
    ran = run([sys.executable, "-c", code], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "runs/back/config.json").is_file()


@pytest.mark.slow
def test_the_commands_for_an_account(tmp_path: Path) -> None:
    building = blocks(PAGE, "sh aws")
    assert len(building) == 2
    for block in building:
        shown = charloom(block, tmp_path, "--dry-run", "--json", "--region", "eu-west-1").splitlines()
        operations = [json.loads(line)["operation"] for line in shown]
        assert "CreateRepository" in operations
    assert "charloom-codebuild" in "".join(shown)
