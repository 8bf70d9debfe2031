from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import charloom
from charloom.errors import CharloomError, CorpusError, TrainingError, UsageError
from charloom.events import Event, LogLine, Notice, StatusChanged
from charloom.sagemaker import status, stop
from charloom.sagemaker.local import job as jobs
from charloom.sagemaker.local.job import LocalJob, find_job
from charloom.sagemaker.local.job_runs import run_job_here
from charloom.sagemaker.local.records import LOG, last_lines, recorded_names, write_record

SMALL = {
    "hidden-size": "16",
    "embedding-size": "8",
    "batch-size": "8",
    "bptt": "32",
    "steps": "20",
    "threads": "1",
    "device": '"cpu"',
}
LONG = {**SMALL, "steps": "100000", "checkpoint-every": '"1s"'}


def statuses(events: list[Event]) -> list[str]:
    return [event.status for event in events if isinstance(event, StatusChanged)]


@pytest.mark.slow
def test_a_job_trains_with_the_code_that_travels(small_text: Path, tmp_path: Path, own_home: Path) -> None:
    events: list[Event] = []
    request = ("mine", {"training": str(small_text)}, SMALL, tmp_path / "runs" / "model")
    assert run_job_here(*request, notify=events.append) == 0
    assert statuses(events) == ["Downloading", "Training", "Uploading", "Completed"]
    assert any(isinstance(event, LogLine) for event in events)
    assert charloom.load(tmp_path / "runs" / "model").generate("The ", length=5, seed=1).text
    found = status(None, "mine")
    assert found.status == "Completed"
    assert found.artifact == str(jobs.artifact("mine"))
    assert found.ended is not None
    assert found.created is not None
    assert found.ended > found.created
    folder = own_home / "jobs" / "mine"
    assert last_lines(folder / LOG)
    assert sorted(entry.name for entry in folder.iterdir()) == ["log.txt", "opt", "output", "record.json"]
    assert sorted(entry.name for entry in (folder / "opt" / "ml").iterdir()) == ["checkpoints", "input", "output"]
    assert small_text.is_file(), "the text was lent"
    with pytest.raises(UsageError, match="is there already"):
        run_job_here(*request)
    events.clear()
    assert run_job_here(*request[:3], tmp_path / "again", notify=events.append) == 0
    assert isinstance(events[0], Notice), "nothing is trained again"
    assert (tmp_path / "again" / "config.json").is_file()
    with pytest.raises(UsageError, match="another text or other settings"):
        run_job_here("mine", {"training": str(small_text)}, {**SMALL, "steps": "21"}, tmp_path / "other")
    assert not stop(None, "mine")
    assert jobs.delete_job("mine")
    assert find_job("mine") is None


@pytest.mark.slow
def test_a_failure_has_its_reason(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the job bad failed: AlgorithmError: .*toaster.*, exit code: 2"):
        run_job_here("bad", {"training": str(small_text)}, {**SMALL, "device": '"toaster"'}, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    found = status(None, "bad")
    assert found.status == "Failed"
    assert "toaster" in found.failure_reason
    with pytest.raises(CharloomError, match=r"it failed: .*toaster"):
        jobs.artifact("bad")


def test_what_cannot_begin_is_said(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file or folder"):
        run_job_here("a", {"training": str(tmp_path / "nothing")}, SMALL, tmp_path / "model")
    with pytest.raises(UsageError, match="no name of a channel"):
        run_job_here("b", {"../../up": str(small_text)}, SMALL, tmp_path / "model")
    with pytest.raises(UsageError, match="instances = 0"):
        run_job_here("c", {"training": str(small_text)}, SMALL, tmp_path / "model", instances=0)
    with pytest.raises(CharloomError, match="no job absent on this machine"):
        status(None, "absent")
    with pytest.raises(UsageError, match="letters, digits"):
        status(None, "../up")
    assert recorded_names("jobs") == ["a", "b"]


def command(text: Path, output: Path, **hyperparameters: str) -> subprocess.Popen[str]:
    """The job `mine` in another process, as the command line runs it."""
    code = f"""
import sys
from pathlib import Path
from charloom.sagemaker.local.job_runs import run_job_here
sys.exit(run_job_here("mine", {{"training": {str(text)!r}}}, {hyperparameters or LONG!r}, Path({str(output)!r})))
"""
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def checkpoints(home: Path) -> list[Path]:
    return list((home / "jobs" / "mine" / "opt" / "ml" / "checkpoints").rglob("checkpoint-*.safetensors"))


@pytest.fixture
def runner(small_text: Path, tmp_path: Path, own_home: Path) -> Iterator[subprocess.Popen[str]]:
    """A job that has begun to write checkpoints, and goes on for long."""
    with command(small_text, tmp_path / "model") as process:
        try:
            until(lambda: checkpoints(own_home) or process.poll() is not None)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def running_job() -> LocalJob:
    job = find_job("mine")
    assert job is not None
    assert job.process is not None
    return job


@pytest.mark.slow
def test_a_runner_that_was_killed_loses_nothing(
    runner: subprocess.Popen[str], small_text: Path, tmp_path: Path
) -> None:
    job = running_job()
    runner.kill()
    runner.wait()
    assert status(None, "mine").status == "InProgress", "the training itself goes on"
    with pytest.raises(UsageError, match="is running"):
        run_job_here("mine", {"training": str(small_text)}, LONG, tmp_path / "other")
    assert stop(None, "mine")
    assert not job.trains
    assert status(None, "mine").status == "Stopped"
    write_record(job.folder, job)
    found = status(None, "mine")
    assert found.status == "Failed", "it says that it runs, and nothing does"
    assert "the same --name" in found.failure_reason
