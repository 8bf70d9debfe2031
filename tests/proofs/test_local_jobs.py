"""A job of two processes on this machine: trained to the end, and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charloom
from charloom.sagemaker.local import jobs

pytestmark = pytest.mark.slow

SMALL = {"hidden-size": "16", "embedding-size": "8", "batch-size": "8", "bptt": "32", "device": '"cpu"'}


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))


def test_two_machines_are_two_processes(small_text: Path, tmp_path: Path) -> None:
    channels = {"training": str(small_text)}
    assert jobs.train_here("two", channels, {**SMALL, "steps": "20"}, tmp_path / "model", instances=2) == 0
    assert charloom.load(tmp_path / "model").generate("The ", length=5, seed=1).text


def test_both_end_when_the_job_is_stopped(small_text: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "steps": "100000", "checkpoint-every": '"1s"'}
    code = f"""
import sys
from pathlib import Path
from charloom.sagemaker.local.jobs import train_here
channels = {{"training": {str(small_text)!r}}}
sys.exit(train_here("two", channels, {settings!r}, Path({str(tmp_path / "model")!r}), instances=2))
"""
    checkpoints = tmp_path / "home" / "jobs" / "two" / "opt" / "ml" / "checkpoints"
    with subprocess.Popen([sys.executable, "-c", code]) as runner:
        try:
            deadline = time.monotonic() + 120
            while not list(checkpoints.rglob("checkpoint-*.safetensors")):
                assert time.monotonic() < deadline
                assert runner.poll() is None
                time.sleep(0.1)
            job = jobs.find_job("two")
            assert job is not None
            assert job.process is not None
            assert jobs.stop("two")
            assert runner.wait(60) == 130
            with pytest.raises(ProcessLookupError):
                os.killpg(job.process.pid, 0)
        finally:
            runner.kill()
            jobs.delete_job("two")
