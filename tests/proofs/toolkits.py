"""Environments with SageMaker's own tools, which are too heavy, or too old, for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = ("torch==2.13.0", "sagemaker-training==5.1.4", "sagemaker-pytorch-training==3.0.0")
SERVING = (
    "torch==2.13.0", "sagemaker-inference", "sagemaker-pytorch-inference==2.0.25", "torchserve==0.12.0",
    "torch-model-archiver", "pyyaml", "setuptools<81",
)  # fmt: skip
SDK = ("sagemaker==2.257.7",)


def made(name: str, packages: tuple[str, ...], temporary: pytest.TempPathFactory) -> Path:
    """An environment's folder. The folder CHARLOOM_TOOLKITS, where it is set, keeps them from run to run."""
    kept = os.environ.get("CHARLOOM_TOOLKITS")
    folder = Path(kept, name) if kept else temporary.mktemp("toolkit") / name
    done = folder / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=300)
        install(folder, *packages)
        done.touch()
    return folder


def install(folder: Path, *packages: object, cwd: Path | None = None) -> None:
    """Install packages into an environment, as a container does at its start."""
    command = [folder / "bin/python", "-P", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1500, check=False, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
