"""A run of a training job on this machine: the /opt/ml tree, the entry point in a process of its own.

`job.py` has a job's record and its state, then and later.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from charloom.errors import CharloomError, CloudError, CorpusError, TrainingError, UsageError
from charloom.events import LogLine, Notice, Notify, StatusChanged, ignore, unfailing
from charloom.files import atomic_write, expand_home, storage_errors
from charloom.interrupts import INTERRUPTED, end_as_interrupt
from charloom.sagemaker.aws import Aws, connect
from charloom.sagemaker.local.job import STOP_PATIENCE, STOPPING, LocalJob, artifact
from charloom.sagemaker.local.records import (
    LOG,
    LogFollower,
    Process,
    container_environment,
    hold_folder,
    last_lines,
    make_folder,
    read_record,
    start,
    this_process,
    write_record,
)
from charloom.sagemaker.names import S3Uri, is_s3

_HOST = "localhost"
_GROUP = "homogeneousCluster"  # what SageMaker calls the one group of a job's machines

_MOST_INSTANCES = 64
_TICK = 0.1  # seconds
_LONGEST = 1024  # characters of a failure's reason, as SageMaker has it
_ENTRY = ["-m", "charloom.sagemaker.container.job"]  # what `docker run IMAGE train` starts


def build_tree(
    base: Path,
    channels: Mapping[str, str],
    hyperparameters: Mapping[str, str],
    instances: int,
    notify: Notify,
    reach: Callable[[], Aws] = connect,
) -> None:
    """Make the tree of a job: configuration, data, code, and empty folders for what comes out.

    What an earlier job of that tree left goes, but for its checkpoints.
    """
    with storage_errors(base):
        for name in ("input", "model", "output", "code"):
            shutil.rmtree(base / name, ignore_errors=True)
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints", "code"):
            (base / name).mkdir(parents=True, exist_ok=True)
    for file, content in _configuration(channels, hyperparameters, instances).items():
        with atomic_write(base / "input" / "config" / file) as opened:
            opened.write(json.dumps(content, ensure_ascii=False, indent=1).encode())
    for name, source in channels.items():
        _fill(base / "input" / "data" / _channel(name), source, notify, reach)
    _unpack_code(base / "code")


def _configuration(
    channels: Mapping[str, str], hyperparameters: Mapping[str, str], instances: int
) -> dict[str, dict[str, Any]]:
    several = {"sagemaker_torch_distributed_enabled": "true"} if instances > 1 else {}
    group = {"instance_group_name": _GROUP, "instance_type": "local", "hosts": [_HOST]}
    return {
        "hyperparameters.json": {**hyperparameters, **several},
        "inputdataconfig.json": {name: {"TrainingInputMode": "File"} for name in channels},
        "resourceconfig.json": {
            "current_host": _HOST,
            "hosts": [_HOST],
            "network_interface_name": "lo",
            "current_instance_type": "local",
            "current_group_name": _GROUP,
            "instance_groups": [group],
        },
    }


def _channel(name: str) -> str:
    if not name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum() or name.startswith("."):
        raise UsageError(f"{name[:80]!r} is no name of a channel: letters, digits, and . _ - between them")
    return name


def _fill(folder: Path, source: str, notify: Notify, reach: Callable[[], Aws]) -> None:
    """Put the data of a channel in its place: downloaded, or a link to where it is."""
    if is_s3(source):
        _download(reach(), S3Uri.parse(source), folder, notify)
        return
    path = expand_home(source).absolute()
    if not path.exists():
        raise CorpusError(f"{source}: there is no such file or folder to train on")
    with storage_errors(folder):
        if path.is_dir():
            folder.symlink_to(path, target_is_directory=True)
        else:
            folder.mkdir()
            (folder / path.name).symlink_to(path)


def _download(aws: Aws, uri: S3Uri, folder: Path, notify: Notify) -> None:
    from charloom.sagemaker.s3 import download_file, objects_under

    found = False
    below = uri.key.rstrip("/") + "/" if uri.key else ""
    for address in objects_under(aws, uri):
        if address.key.endswith("/"):  # a marker of a folder, which consoles make
            continue
        if address.key == uri.key:
            name = PurePosixPath(address.key).name
        elif address.key.startswith(below):
            name = address.key.removeprefix(below)
        else:  # its name only begins alike
            continue
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise CloudError(f"{address} has a name that no file can have here: rename it", "Name")
        download_file(aws, address, folder / name, notify)
        found = True
    if not found:
        raise CloudError(f"{uri}: there is nothing there", "404")


def _unpack_code(folder: Path) -> None:
    """Put the very archive that SageMaker is given in place."""
    from charloom.sagemaker.source_dir import pack_source

    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, storage_errors(folder):
        archive = pack_source(Path(temporary))
        with tarfile.open(archive, "r:gz") as packed:
            packed.extractall(folder, filter="data")


def pack_model(model: Path, archive: Path) -> None:
    """Write `model.tar.gz` as SageMaker does when a job has ended: all that is in the model folder."""
    with storage_errors(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(archive) as file, tarfile.open(fileobj=file, mode="w:gz") as packed:
        for entry in sorted(model.iterdir()):
            packed.add(entry, entry.name)


def run_job_here(
    name: str,
    channels: Mapping[str, str],
    hyperparameters: Mapping[str, str],
    output: Path | None = None,
    *,
    instances: int = 1,
    reach: Callable[[], Aws] = connect,
    notify: Notify = ignore,
) -> int:
    """Run a training job on this machine as SageMaker would, and unpack its model where an output is given.

    Ctrl-C, SIGTERM or `stop` make it save a checkpoint and end. The same name, text and settings again go on
    from there.

    Args:
        name: what to call it.
        channels: the data by channel: a path, or an address in S3 (AWS_ENDPOINT_URL is honoured).
        hyperparameters: as SageMaker has them, JSON in strings.
        output: the model directory to write; nothing may be there.
        instances: how many processes share the work, each as one machine's; torchrun starts them.
        reach: gives the account that data in S3 is fetched from.
        notify: receives its states, and each line that it writes.

    Returns:
        The exit status: 0, or 130 if it was stopped.
    """
    if not 1 <= instances <= _MOST_INSTANCES:
        raise UsageError(f"instances = {instances}: from 1 to {_MOST_INSTANCES} on one machine")
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is there already: give another --output, or remove it")
    folder = make_folder("jobs", name)
    job = LocalJob(
        name=name,
        started=datetime.now(UTC),
        channels={channel: _absolute(source) for channel, source in channels.items()},
        hyperparameters=dict(hyperparameters),
        instances=instances,
        runner=this_process(),
    )
    with hold_folder(folder), end_as_interrupt():
        earlier = read_record(folder, LocalJob)
        if earlier is not None:
            _check_earlier(earlier, job)
            if earlier.status == "Completed":
                notify(Notice(f"the job {name} is finished: there is nothing to train"))
                _unpack(artifact(name), output)
                return 0
        return _Run(job, output, reach, unfailing(notify)).run()


def _absolute(source: str) -> str:
    return source if "://" in source else str(expand_home(source).absolute())


def _check_earlier(earlier: LocalJob, job: LocalJob) -> None:
    """What has this name already must be the same job, and must not run."""
    if earlier.trains and earlier.status == "InProgress":
        raise UsageError(f"the job {job.name} is running: wait for it, stop it, or give another --name")
    if not earlier.same_request(job):
        raise UsageError(f"there is a job {job.name} already, with another text or other settings: give another --name")


class _Run:
    """One run of a job, from its tree to its archive."""

    def __init__(self, job: LocalJob, output: Path | None, reach: Callable[[], Aws], notify: Notify) -> None:
        self._job = job
        self._output = output
        self._reach = reach
        self._notify = notify
        self._deadline = math.inf
        self._marker = job.folder / STOPPING
        self._log = job.folder / LOG

    def run(self) -> int:
        """Run it; 0, or 130 if it was stopped."""
        with storage_errors(self._log):
            self._marker.unlink(missing_ok=True)
            self._log.touch()  # lines of an earlier run stay: it is the same job
        self._keep()
        try:
            self._stage("Downloading")
            job = self._job
            build_tree(job.base, job.channels, job.hyperparameters, job.instances, self._notify, self._reach)
            self._stage("Training")
            status = self._trained()
            if self._marker.exists():
                return self._end_stopped()
            if status != 0:
                raise TrainingError(self._reason(status))
            self._stage("Uploading")
            self._pack()
            _unpack(artifact(self._job.name), self._output)
        except KeyboardInterrupt:
            return self._end_stopped()
        except CharloomError as error:
            self._end("Failed", failure_reason=str(error))
            if isinstance(error, TrainingError):
                raise TrainingError(f"the job {self._job.name} failed: {error}") from None
            raise
        for left in ("input/data", "code", "model"):  # the archive has the model; data was a copy or a link
            shutil.rmtree(self._job.base / left, ignore_errors=True)
        self._end("Completed")
        return 0

    def _trained(self) -> int:
        """Start the training, pass on its lines, and wait for its end; its exit status."""
        base = self._job.base
        command = [sys.executable, "-P", *_ENTRY, "train"]
        if self._job.instances > 1:
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
            several = f"--nproc-per-node={self._job.instances}"
            command = [sys.executable, "-P", *torchrun, several, *_ENTRY, "train"]
        contract = {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": self._job.name}
        environment = container_environment(contract, str(base / "code"))
        followed = LogFollower(self._log)
        with contextlib.closing(followed), self._log.open("ab") as log:
            process = start(command, base / "code", environment, log, log)
            try:
                self._keep(process=process)
                self._wait(process, followed)
            finally:
                process.end(0)
            self._tell(followed, last=True)
        status = process.status()
        return 1 if status is None else status

    def _wait(self, process: Process, followed: LogFollower) -> None:
        """Until it has ended, or has had its time to do so."""
        while True:
            try:
                if not process.alive or time.monotonic() > self._deadline:
                    return
                self._tell(followed)
                if self._marker.exists():
                    self._deadline = min(self._deadline, time.monotonic() + STOP_PATIENCE)
                time.sleep(_TICK)
            except KeyboardInterrupt:
                if self._marker.exists():  # for the second time: at once
                    return
                self._marker.touch()
                self._notify(StatusChanged(self._job.name, "Stopping"))
                process.terminate()

    def _tell(self, followed: LogFollower, *, last: bool = False) -> None:
        for line in followed.lines(last=last):
            self._notify(LogLine(line))

    def _reason(self, status: int) -> str:
        """Why it failed, as SageMaker says it."""
        try:
            with (self._job.base / "output" / "failure").open("rb") as file:
                failure = file.read(4 * _LONGEST).decode("utf-8", "replace").strip()
        except OSError:
            failure = ""
        if not failure and status < 0:
            failure = f"it was ended by signal {-status}" + (" (out of memory?)" if status == -signal.SIGKILL else "")
        lines = [line for line in last_lines(self._log, 100) if line.strip()]
        return f"AlgorithmError: {(failure or (lines or ['it said nothing'])[-1])[:_LONGEST]}, exit code: {status}"

    def _end_stopped(self) -> int:
        """It was stopped; its model so far, where there is one, is packed as well."""
        if (self._job.base / "model" / "config.json").is_file():
            self._pack()
        self._end("Stopped")
        return INTERRUPTED

    def _pack(self) -> None:
        archive = self._job.folder / "output" / "model.tar.gz"
        pack_model(self._job.base / "model", archive)
        self._keep(artifact=archive)

    def _stage(self, stage: str) -> None:
        self._keep(stage=stage)
        self._notify(StatusChanged(self._job.name, stage))
        if self._marker.exists():
            raise KeyboardInterrupt

    def _end(self, status: str, **facts: Any) -> None:
        self._keep(status=status, ended=datetime.now(UTC), runner=None, process=None, **facts)
        self._marker.unlink(missing_ok=True)
        self._notify(StatusChanged(self._job.name, status, facts.get("failure_reason", "")))

    def _keep(self, **facts: Any) -> None:
        self._job = self._job.model_copy(update=facts)
        write_record(self._job.folder, self._job)


def _unpack(archive: Path, output: Path | None) -> None:
    from charloom.sagemaker.unpacking import unpack_model

    if output is not None:
        unpack_model(archive, output)
