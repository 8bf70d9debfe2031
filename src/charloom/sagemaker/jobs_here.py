"""Jobs of this machine beside those of an account: started, followed, stopped and attached by the same commands.

`--instance local` makes them; `local/` runs them.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from charloom.bundle import open_model_directory
from charloom.errors import CharloomError, TrainingError, UsageError
from charloom.events import Event, LogLine, Notify, ignore
from charloom.sagemaker.cloudwatch import plain
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.hosting.delete import Deleted
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.attach import check_output, received_model
from charloom.sagemaker.jobs.follow import JobStatus, job_status
from charloom.sagemaker.jobs.request import check_validation, hyperparameters
from charloom.sagemaker.jobs.start import is_remote, split_options
from charloom.sagemaker.local.endpoints import find as find_endpoint
from charloom.sagemaker.local.job import artifact, delete_job, describe, existing_job, find_job, stop
from charloom.sagemaker.local.records import LOG, Followed, folder_of, hold_folder, last_lines, recorded_names
from charloom.sagemaker.names import checked_name, fresh_name, is_s3
from charloom.sagemaker.options import TrainingJobOptions
from charloom.sagemaker.unpacking import unpack_model
from charloom.settings import ReadingSettings, validate
from charloom.text.named import cache_folder
from charloom.text.preparing import prepare_corpus
from charloom.text.sources import check_outside

_ALLOWED = ("instance", "instances", "name")  # of the job's settings: the others are about Amazon's machines
_TICK = 0.5  # seconds between looks at a log


@dataclass(frozen=True)
class TrainedHere:
    """A job that ran on this machine.

    Attributes:
        name: what it is called.
        status: its exit status: 0, or 130 where it was stopped.
        path: the model directory, if it has one.
    """

    name: str
    status: int
    path: Path | None


def train_here(
    corpus: str | Path | Sequence[str | Path],
    output: Path | str,
    *,
    recipe: str | None = None,
    init_from: Path | str | None = None,
    overwrite: bool = False,
    notify: Notify = ignore,
    **options: Unpack[TrainingJobOptions],
) -> TrainedHere:
    """Train on this machine as a job of SageMaker's would: the same entry point, hyperparameters and channels.

    Args:
        corpus: an address in S3, or what `charloom.train` takes.
        output: the model directory to write.
        recipe: as `charloom.train` takes it.
        init_from: a model to start from: its directory, or an address in S3.
        overwrite: replace the model that is in `output`.
        notify: receives states and lines.
        **options: `name`, `instances`, and settings as `charloom.train` takes them.

    Raises:
        UsageError: an option cannot work, or is about Amazon's machines.
        CorpusError: the text cannot be read.
        TrainingError: training failed; the message says why.
    """
    from charloom.sagemaker.local.job_runs import run_job_here

    asked, learning = split_options({"instance": LOCAL, **options})
    for name in asked.model_fields_set - {*_ALLOWED}:
        raise UsageError(f"--{name.replace('_', '-')} is for Amazon's machines: leave it out with --instance local")
    output, name = Path(output).expanduser(), checked_name(asked.name or fresh_name("charloom"), "the job")
    check_outside(output, _specs(corpus))
    check_output(output, overwrite)
    channels = {"training": ""}
    if init_from is not None:
        channels["model"] = str(init_from) if is_s3(str(init_from)) else str(open_model_directory(init_from).path)
    validation = learning.pop("validation", None)
    if validation is not None:
        if not is_s3(str(validation)):
            check_validation(validation)
        channels["validation"] = str(validation)
    chosen = hyperparameters(learning, recipe)
    reading = {key: value for key, value in learning.items() if key in ReadingSettings.model_fields}
    with (
        received_model(output, overwrite, notify) as made,
        _readable(corpus, reading, chosen, name, notify) as channels["training"],
    ):
        status = run_job_here(name, channels, chosen, made, instances=asked.instances, notify=notify)
    return TrainedHere(name, status, output if (output / "config.json").is_file() else None)


@contextlib.contextmanager
def _readable(
    corpus: str | Path | Sequence[str | Path],
    reading: Mapping[str, Any],
    chosen: dict[str, str],
    name: str,
    notify: Notify,
) -> Iterator[str]:
    """The corpus as a channel: one file, folder or address as it is, others prepared into a folder.

    A job that fails or is stopped finds the folder again under its name.
    """
    specs = _specs(corpus)
    if is_remote(specs) or (len(specs) == 1 and Path(specs[0]).expanduser().exists()):
        yield specs[0]
        return
    folder = _prepared_folder(name)
    prepare_corpus(specs, folder, validate(ReadingSettings, reading), overwrite=True, notify=notify)
    for field in reading:
        chosen.pop(field.replace("_", "-"), None)
    yield str(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _specs(corpus: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(spec) for spec in ([corpus] if isinstance(corpus, str | Path) else corpus)]


def is_here(name: str) -> bool:
    """Whether a job of this machine has that name."""
    try:
        return find_job(name) is not None
    except UsageError:  # no name at all: whoever asks further says so
        return False


def local_jobs() -> list[JobStatus]:
    """Every job of this machine, the oldest first."""
    found = [status_here(name) for name in recorded_names("jobs")]
    return sorted(found, key=lambda job: (job.created is not None and job.created.timestamp(), job.name))


def delete_job_here(name: str) -> Deleted:
    """Delete a job of this machine with its log, checkpoints and archive, which frees its name.

    Raises:
        UsageError: it still runs, or another command works on it.
        CharloomError: there is no such job here.
        StorageError: it cannot be removed.
    """
    job = existing_job(name)
    if job.state in ("InProgress", "Stopping"):
        raise UsageError(f"the job {name} still runs on this machine: {command(HERE, 'stop', name)}")
    with hold_folder(job.folder):
        delete_job(name)
    shutil.rmtree(_prepared_folder(name), ignore_errors=True)
    return Deleted(name, (f"job {name}",), region=LOCAL)


def _prepared_folder(name: str) -> Path:
    """The text of a job, prepared; it is there until the job has ended well."""
    return cache_folder() / "jobs" / name


def status_here(name: str) -> JobStatus:
    """How a job of this machine is; it costs nothing.

    Raises:
        CharloomError: there is no such job here.
    """
    return job_status(describe(name), LOCAL, 0.0)


def stop_here(name: str) -> bool:
    """Stop a job of this machine; whether it was running.

    Raises:
        CharloomError: there is no such job here.
    """
    return stop(name)


def writes_here(name: str) -> bool:
    """Whether a job or an endpoint of this machine has that name."""
    try:
        return is_here(name) or find_endpoint(name) is not None
    except UsageError:
        return False


def logs_here(name: str, show: Callable[[str], None], *, last: int | None = None, follow: bool = False) -> None:
    """Show what a job or endpoint of this machine has written, and with `follow` what it writes until it ends.

    Raises:
        CharloomError: there is nothing of that name here.
    """
    endpoint = None if is_here(name) else find_endpoint(name)
    folder = folder_of("jobs", name) if endpoint is None else folder_of("endpoints", name)

    def tell(event: Event) -> None:
        if isinstance(event, LogLine):
            show(plain(event.message))

    with contextlib.closing(Followed(folder / LOG, tell)) as following:
        for line in last_lines(folder / LOG, 10_000 if last is None else last):
            show(plain(line))
        while follow and _lives(name):
            following.tell()
            time.sleep(_TICK)
        following.tell(last=True)


def _lives(name: str) -> bool:
    job = find_job(name)
    if job is not None:
        return job.state in ("InProgress", "Stopping")
    endpoint = find_endpoint(name)
    return endpoint is not None and endpoint.alive


def attach_here(name: str, output: Path | str, *, overwrite: bool = False, notify: Notify = ignore) -> Path:
    """Unpack the model of a job of this machine.

    Raises:
        UsageError: the folder is taken.
        CharloomError: there is no such job here, or it has no model; says why.
    """
    output = Path(output).expanduser()
    check_output(output, overwrite)
    found = status_here(name)
    if not found.over:
        raise CharloomError(f"the job {name} still runs here: {command(HERE, 'logs', name, follow=True)}")
    if found.status == "Failed":
        raise TrainingError(f"the job {name} failed: {found.failure_reason}")
    with received_model(output, overwrite, notify) as made:
        unpack_model(artifact(name), made)
    return output
