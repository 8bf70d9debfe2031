"""`scripts/setup`: which PyTorch it asks pip for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DRIVER = any(Path(path).exists() for path in ("/proc/driver/nvidia", "/dev/nvidiactl"))

# A Python that makes an environment of itself, has no torch, and records what pip is asked for.
_PYTHON = """#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"import torch"*) exit 1 ;;
*"-m pip"*) echo "$*" >> pip.txt; exit ${PIP_STATUS:-0} ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(_PYTHON, "utf-8")
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def asked(checkout: Path, extras: str, **environment: str) -> tuple[int, list[str], str]:
    ran = subprocess.run(
        [checkout / "scripts/setup", extras],
        env={**os.environ, "PYTHON": str(checkout / "python"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, (checkout / "pip.txt").read_text("utf-8").splitlines(), ran.stderr


@pytest.mark.skipif(platform.system() != "Linux" or DRIVER, reason="for Linux without an NVIDIA driver")
@pytest.mark.parametrize("extras", ["train,serve", "all,dev"])
def test_without_a_gpu_pytorch_comes_from_its_cpu_index_before_all_else(checkout: Path, extras: str) -> None:
    status, (torch, rest), _ = asked(checkout, extras)
    assert status == 0
    assert "--no-deps --index-url https://download.pytorch.org/whl/cpu torch" in torch
    assert f"-e .[{extras}]" in rest


@pytest.mark.skipif(os.name != "posix", reason="a script of sh")
def test_what_needs_no_pytorch_brings_none(checkout: Path) -> None:
    status, commands, _ = asked(checkout, "serve")
    assert (status, len(commands)) == (0, 1)


@pytest.mark.skipif(os.name != "posix", reason="a script of sh")
def test_an_environment_without_pip_is_made_again(checkout: Path) -> None:
    """As Debian leaves one where python3-venv is not installed."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    half = checkout / ".venv" / "bin" / "python"
    half.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    half.chmod(0o755)
    status, commands, _ = asked(checkout, "serve")
    assert (status, len(commands)) == (0, 1)


@pytest.mark.skipif(platform.system() != "Linux" or DRIVER, reason="for Linux without an NVIDIA driver")
def test_where_the_cpu_build_cannot_be_had_nothing_larger_takes_its_place(checkout: Path) -> None:
    status, commands, said = asked(checkout, "train", TORCH_INDEX="https://example.com/simple", PIP_STATUS="1")
    assert (status, len(commands)) == (1, 1)
    assert "--index-url https://example.com/simple torch" in commands[0]
    assert "TORCH_INDEX" in said
