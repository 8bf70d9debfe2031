"""A job of two hosts, each with folders of its own, as SageMaker has them; started again on others after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charloom.bundle import open_model_directory
from tests.faults.processes import finish, newest_step, wait_until

SMALL: dict[str, Any] = {
    "hidden_size": 16, "embedding-size": 8, "batch-size": 8, "bptt": 32, "steps": 2000, "evaluate-every": 1000,
    "learning-rate": 0.01, "threads": 1, "device": "cpu", "checkpoint-every": "0.2s",
}  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def host(base: Path, text: str) -> Path:
    """What one host of the job finds."""
    for folder in ("input/config", "input/data/training", "model", "output/data", "checkpoints"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    (base / "input/data/training/a.txt").write_text(text, "utf-8")
    files: dict[str, Any] = {
        "hyperparameters": {name: json.dumps(value) for name, value in SMALL.items()},
        "inputdataconfig": {"training": {}},
        "resourceconfig": {"current_host": base.name, "hosts": ["algo-1", "algo-2"]},
    }
    for name, content in files.items():
        (base / f"input/config/{name}.json").write_text(json.dumps(content), "utf-8")
    return base


def start(*bases: Path) -> list[subprocess.Popen[str]]:
    """A process on each host, with its rank in the environment as torchrun has it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": len(bases), "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables |= {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": 1}
    shared = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "charloom.sagemaker.container.job", "train"],
            env={**shared, "RANK": str(rank), "SAGEMAKER_BASE_DIR": str(base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, base in enumerate(bases)
    ]


def test_two_hosts_train_one_model_and_go_on_elsewhere(small_text: Path, tmp_path: Path) -> None:
    text = small_text.read_text("utf-8")[:4_000]
    first, second = host(tmp_path / "algo-1", text), host(tmp_path / "algo-2", text)
    processes = start(first, second)
    wait_until(lambda: newest_step(first / "checkpoints") > 0, processes[0])
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    reached = newest_step(first / "checkpoints")
    assert not any((second / "checkpoints").iterdir())
    # Both new hosts are given what S3 has: what the first host had.
    third, fourth = host(tmp_path / "new/algo-1", text), host(tmp_path / "new/algo-2", text)
    for base in (third, fourth):
        shutil.copytree(first / "checkpoints", base / "checkpoints", dirs_exist_ok=True)
    before = sorted(path.name for path in (fourth / "checkpoints").rglob("*"))
    for status, _, err in map(finish, start(third, fourth)):
        assert (status, err) == (0, "")
    result = open_model_directory(third / "model").config.training["result"]
    assert reached <= result["resumed_from_step"] < result["steps"] == 2000
    assert (third / "output/success").exists()
    for folder in ("model", "output/data"):
        assert not any((fourth / folder).iterdir()), "what hosts leave is put together: one alone may leave something"
    assert sorted(path.name for path in (fourth / "checkpoints").rglob("*")) == before
