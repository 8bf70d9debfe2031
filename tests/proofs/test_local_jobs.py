"""Jobs of this machine that are stopped and go on; and of two processes: trained to the end, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charloom
from charloom.events import Event, LogLine
from charloom.sagemaker import status, stop
from charloom.sagemaker.local import job as jobs
from charloom.sagemaker.local.job_runs import run_job_here

pytestmark = pytest.mark.slow

SMALL = {"hidden-size": "16", "embedding-size": "8", "batch-size": "8", "bptt": "32", "device": '"cpu"'}
LONG = {**SMALL, "steps": "100000", "checkpoint-every": '"1s"'}


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))


def test_two_machines_are_two_processes(small_text: Path, tmp_path: Path) -> None:
    channels = {"training": str(small_text)}
    assert run_job_here("two", channels, {**SMALL, "steps": "20"}, tmp_path / "model", instances=2) == 0
    assert charloom.load(tmp_path / "model").generate("The ", length=5, seed=1).text


def command(name: str, text: Path, output: Path, instances: int) -> subprocess.Popen[bytes]:
    """A long job in another process, as the command line runs it."""
    code = f"""
import signal, sys
from pathlib import Path
from charloom.sagemaker.local.job_runs import run_job_here
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests run in the background
channels = {{"training": {str(text)!r}}}
sys.exit(run_job_here({name!r}, channels, {LONG!r}, Path({str(output)!r}), instances={instances}))
"""
    return subprocess.Popen([sys.executable, "-c", code])


def until_it_saves(name: str, home: Path, runner: subprocess.Popen[bytes]) -> jobs.LocalJob:
    """Wait for a checkpoint; the job."""
    checkpoints = home / "jobs" / name / "opt" / "ml" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.rglob("checkpoint-*.safetensors")):
        assert time.monotonic() < deadline
        assert runner.poll() is None
        time.sleep(0.1)
    job = jobs.find_job(name)
    assert job is not None
    return job


def test_both_end_when_the_job_is_stopped(small_text: Path, tmp_path: Path) -> None:
    with command("two", small_text, tmp_path / "model", 2) as runner:
        try:
            job = until_it_saves("two", tmp_path / "home", runner)
            assert job.process is not None
            assert stop(None, "two")
            assert runner.wait(60) == 130
            with pytest.raises(ProcessLookupError):
                os.killpg(job.process.pid, 0)
        finally:
            runner.kill()
            jobs.delete_job("two")


def test_ctrl_c_stops_it_and_the_same_name_goes_on(small_text: Path, tmp_path: Path) -> None:
    with command("mine", small_text, tmp_path / "model", 1) as runner:
        try:
            job = until_it_saves("mine", tmp_path / "home", runner)
            assert job.state == "InProgress"
            runner.send_signal(signal.SIGINT)
            assert runner.wait(60) == 130
            assert not job.trains
        finally:
            runner.kill()
    assert status(None, "mine").status == "Stopped"
    lines: list[str] = []

    def stop_once_resumed(event: Event) -> None:
        if isinstance(event, LogLine):
            lines.append(event.message)
            if ", from step " in event.message:
                stop(None, "mine")

    again = ("mine", {"training": str(small_text)}, LONG, tmp_path / "other")
    assert run_job_here(*again, notify=stop_once_resumed) == 130
    assert ", resumed from step " in "\n".join(lines)
    assert jobs.artifact("mine").is_file(), "the best so far"
    assert status(None, "mine").status == "Stopped"
