from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import charloom
from charloom.errors import CharloomError, CloudError, TrainingError, UsageError
from charloom.events import Event, LogLine, Notice, StatusChanged
from charloom.sagemaker.account import Account
from charloom.sagemaker.local import jobs
from charloom.sagemaker.local.jobs import LocalJob, find_job, train_here
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.storage import default_bucket, ensure_bucket, upload_file

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


def test_a_job_trains_with_the_code_that_travels(small_text: Path, tmp_path: Path, own_home: Path) -> None:
    events: list[Event] = []
    request = ("mine", {"training": str(small_text)}, SMALL, tmp_path / "runs" / "model")
    assert train_here(*request, notify=events.append) == 0
    assert statuses(events) == ["Downloading", "Training", "Uploading", "Completed"]
    assert any(isinstance(event, LogLine) for event in events)
    assert charloom.load(tmp_path / "runs" / "model").generate("The ", length=5, seed=1).text
    told = jobs.describe("mine")
    assert told["TrainingJobStatus"] == "Completed"
    assert told["ModelArtifacts"] == {"S3ModelArtifacts": str(jobs.artifact("mine"))}
    assert told["TrainingEndTime"] > told["TrainingStartTime"]
    assert jobs.log_lines("mine")
    folder = own_home / "jobs" / "mine"
    assert sorted(entry.name for entry in folder.iterdir()) == ["log.txt", "opt", "output", "record.json"]
    assert sorted(entry.name for entry in (folder / "opt" / "ml").iterdir()) == ["checkpoints", "input", "output"]
    assert small_text.is_file(), "the text was lent"
    with pytest.raises(UsageError, match="is there already"):
        train_here(*request)
    events.clear()
    assert train_here(*request[:3], tmp_path / "again", notify=events.append) == 0
    assert isinstance(events[0], Notice), "nothing is trained again"
    assert (tmp_path / "again" / "config.json").is_file()
    with pytest.raises(UsageError, match="another text or other settings"):
        train_here("mine", {"training": str(small_text)}, {**SMALL, "steps": "21"}, tmp_path / "other")
    assert not jobs.stop("mine")
    assert jobs.delete_job("mine")
    assert find_job("mine") is None


def test_a_failure_has_its_reason(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the job bad failed: AlgorithmError: .*toaster.*, exit code: 1"):
        train_here("bad", {"training": str(small_text)}, {**SMALL, "device": '"toaster"'}, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    told = jobs.describe("bad")
    assert told["TrainingJobStatus"] == "Failed"
    assert "toaster" in told["FailureReason"]
    with pytest.raises(CharloomError, match=r"it failed: .*toaster"):
        jobs.artifact("bad")


def test_what_cannot_begin_is_said(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        train_here("a", {"training": str(tmp_path / "nothing")}, SMALL, tmp_path / "model")
    with pytest.raises(UsageError, match="no name of a channel"):
        train_here("b", {"../../up": str(small_text)}, SMALL, tmp_path / "model")
    with pytest.raises(UsageError, match="instances = 0"):
        train_here("c", {"training": str(small_text)}, SMALL, tmp_path / "model", instances=0)
    with pytest.raises(UsageError, match="no job nobody on this machine"):
        jobs.describe("nobody")
    with pytest.raises(UsageError, match="letters, digits"):
        jobs.describe("../up")
    assert [job.name for job in jobs.local_jobs()] == ["a", "b"]


def test_a_text_comes_from_s3(account: Account, small_text: Path, tmp_path: Path) -> None:
    bucket = default_bucket(account)
    ensure_bucket(account, bucket)
    folder = S3Uri(bucket, "texts/mine/")
    upload_file(account, small_text, folder / "a.txt")
    upload_file(account, small_text, S3Uri(bucket, "texts/mine-not/b.txt"))
    assert train_here("far", {"training": "s3://" + f"{bucket}/texts/mine"}, SMALL, tmp_path / "model") == 0
    characters = json.loads((tmp_path / "model" / "config.json").read_text())["corpus"]["characters"]
    assert characters == len(small_text.read_text("utf-8")), "what only begins alike is not the text"
    with pytest.raises(CloudError, match="there is nothing there"):
        train_here("none", {"training": f"s3://{bucket}/other/"}, SMALL, tmp_path / "none")
    account.call("s3", "put_object", Bucket=bucket, Key="hostile/../../up.txt", Body=b"up")
    with pytest.raises(CloudError, match="no file can have here"):
        train_here("hostile", {"training": f"s3://{bucket}/hostile/"}, SMALL, tmp_path / "none")


def command(text: Path, output: Path, **hyperparameters: str) -> subprocess.Popen[str]:
    """The job `mine` in another process, as the command line runs it."""
    code = f"""
import sys
from pathlib import Path
from charloom.sagemaker.local.jobs import train_here
sys.exit(train_here("mine", {{"training": {str(text)!r}}}, {hyperparameters or LONG!r}, Path({str(output)!r})))
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


def test_ctrl_c_stops_it_and_the_same_name_goes_on(
    runner: subprocess.Popen[str], small_text: Path, tmp_path: Path
) -> None:
    job = running_job()
    assert job.state == "InProgress"
    with pytest.raises(UsageError, match=r"works on it just now|is running"):
        train_here("mine", {"training": str(small_text)}, LONG, tmp_path / "other")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(60) == 130
    assert job.process is not None
    assert not job.process.alive
    assert jobs.describe("mine")["TrainingJobStatus"] == "Stopped"
    events: list[Event] = []
    threading.Timer(4, jobs.stop, ["mine"]).start()
    assert train_here("mine", {"training": str(small_text)}, LONG, tmp_path / "other", notify=events.append) == 130
    assert statuses(events)[-1] == "Stopped"
    said = "\n".join(event.message for event in events if isinstance(event, LogLine))
    assert "resumed" in said
    assert "resumed_from_step=0" not in said


def test_stop_ends_it_from_elsewhere(runner: subprocess.Popen[str]) -> None:
    job = running_job()
    assert jobs.stop("mine")
    assert runner.wait(60) == 130
    assert not job.trains
    assert jobs.describe("mine")["TrainingJobStatus"] == "Stopped"


def test_a_runner_that_was_killed_loses_nothing(
    runner: subprocess.Popen[str], small_text: Path, tmp_path: Path
) -> None:
    job = running_job()
    runner.kill()
    runner.wait()
    assert jobs.describe("mine")["TrainingJobStatus"] == "InProgress", "the training itself goes on"
    with pytest.raises(UsageError, match="is running"):
        train_here("mine", {"training": str(small_text)}, LONG, tmp_path / "other")
    assert job.process is not None
    os.kill(job.process.pid, signal.SIGKILL)
    until(lambda: not job.trains)
    told = jobs.describe("mine")
    assert told["TrainingJobStatus"] == "Failed"
    assert "the same --name" in told["FailureReason"]


def test_two_machines_are_two_processes(small_text: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    channels = {"training": str(small_text)}
    assert train_here("two", channels, SMALL, tmp_path / "model", instances=2, notify=events.append) == 0
    assert charloom.load(tmp_path / "model").generate("The ", length=5, seed=1).text
