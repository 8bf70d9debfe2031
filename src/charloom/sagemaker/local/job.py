"""A training job of this machine: its record, and what can be asked of it at any time."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from charloom.errors import CharloomError
from charloom.files import storage_errors
from charloom.sagemaker.cloudwatch import plain
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.follow import JobStatus
from charloom.sagemaker.local.endpoints import find
from charloom.sagemaker.local.records import Process, folder_of, read_record, write_record

STOP_PATIENCE = 120.0  # seconds between SIGTERM and SIGKILL, as StopTrainingJob has it
STOPPING = "stopping"
"""A file that is in a job's folder once it is to stop."""

_KILLED = (
    "the command that ran it was killed: start it again with the same --name, and it continues from its checkpoint"
)

Status = Literal["InProgress", "Completed", "Failed", "Stopped"]


class LocalJob(BaseModel):
    """A job, as its record says. Times are UTC.

    Attributes:
        name: what it is called.
        status: in SageMaker's words, as it was last written; `state` is the state now.
        stage: what it is doing, or did last: Downloading, Training or Uploading.
        started: when it was started, the last time.
        ended: when it ended.
        failure_reason: why it failed.
        artifact: its model.tar.gz.
        channels: its data.
        hyperparameters: JSON in strings.
        instances: how many processes share the work.
        runner: the process that follows it and packs its model.
        process: the training itself.
    """

    name: str
    status: Status = "InProgress"
    stage: str = "Downloading"
    started: datetime
    ended: datetime | None = None
    failure_reason: str | None = None
    artifact: Path | None = None
    channels: dict[str, str]
    hyperparameters: dict[str, str]
    instances: int = 1
    runner: Process | None = None
    process: Process | None = None

    @property
    def folder(self) -> Path:
        """All that belongs to it."""
        return folder_of("jobs", self.name)

    @property
    def base(self) -> Path:
        """Its /opt/ml."""
        return self.folder / "opt" / "ml"

    @property
    def trains(self) -> bool:
        """Whether its processes are there."""
        return any(process is not None and process.alive for process in (self.runner, self.process))

    @property
    def stopping(self) -> bool:
        """Whether somebody has said that it is to stop."""
        return (self.folder / STOPPING).exists()

    @property
    def state(self) -> Literal["InProgress", "Stopping", "Completed", "Failed", "Stopped"]:
        """The state now: a job that is recorded as running, while no process runs it, has failed."""
        if self.status != "InProgress":
            return self.status
        if not self.trains:
            return "Failed"
        return "Stopping" if self.stopping else "InProgress"

    def same_request(self, other: LocalJob) -> bool:
        """Whether the other one was asked for the same: the same text, settings and number of processes."""
        mine, its = ((job.channels, job.hyperparameters, job.instances) for job in (self, other))
        return mine == its


def find_job(name: str) -> LocalJob | None:
    """The job of that name; None where there is none."""
    return read_record(folder_of("jobs", name), LocalJob)


def existing_job(name: str) -> LocalJob:
    """The job of that name."""
    job = find_job(name)
    if job is None and find(name) is not None:
        raise CharloomError(f"{name} is an endpoint of this machine, not a job: {command(HERE, 'delete', name)}")
    if job is None:
        raise CharloomError(f"there is no job {name} on this machine: {command(HERE, 'list')} shows what there is")
    return job


def job_status(job: LocalJob) -> JobStatus:
    """How a job is; it costs nothing."""
    state = job.state
    failure = job.failure_reason or _KILLED if state == "Failed" else ""
    seconds = ((job.ended or datetime.now(UTC)) - job.started).total_seconds()
    return JobStatus(
        name=job.name,
        status=state,
        secondary_status=job.stage if state == "InProgress" else state,
        created=job.started,
        ended=job.ended,
        instance=LOCAL,
        instances=job.instances,
        seconds=max(0.0, seconds) if job.ended is None else round(seconds),
        seconds_billed=0,
        price_per_hour=0.0,
        price=0.0,
        failure_reason=plain(" ".join(failure.split())),
        artifact="" if job.artifact is None else str(job.artifact),
    )


def stop_job(job: LocalJob) -> bool:
    """Make a job save a checkpoint and end; whether it was running.

    The command that follows it waits for it, two minutes at most; where it is not followed, this waits.
    """
    if job.status != "InProgress" or not job.trains:
        return False
    with storage_errors(job.folder):
        (job.folder / STOPPING).touch()
    if job.process is not None:
        job.process.terminate()
        if job.runner is None or not job.runner.alive:
            job.process.end(STOP_PATIENCE)
            write_record(job.folder, job.model_copy(update={"status": "Stopped", "ended": datetime.now(UTC)}))
    return True


def artifact(name: str) -> Path:
    """The model.tar.gz of a job that has one."""
    job = existing_job(name)
    if job.artifact is not None and job.artifact.is_file():
        return job.artifact
    if job.state == "Failed":
        raise CharloomError(f"the job {name} has no model: it failed: {job.failure_reason or _KILLED}")
    raise CharloomError(f"the job {name} has no model: it is {job.state}")


def delete_job(name: str) -> bool:
    """Stop a job and remove all that belongs to it, its checkpoints and its archive too; whether there was one."""
    job = find_job(name)
    if job is not None and job.process is not None:
        job.process.end(STOP_PATIENCE)
    folder = folder_of("jobs", name)
    there = folder.is_dir()
    if there:
        with storage_errors(folder):
            shutil.rmtree(folder)
    return there
