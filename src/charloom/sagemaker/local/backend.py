"""The back end of this machine: jobs and endpoints that `instance="local"` makes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from charloom.errors import CharloomError, CloudError, TrainingError, UsageError
from charloom.events import LogLine, Notify, ignore
from charloom.files import expand_home
from charloom.interrupts import INTERRUPTED
from charloom.sagemaker.aws import Aws, connect
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.follow import JobStatus
from charloom.sagemaker.local.endpoints import check_free, delete_here, deploy_here, find, local_endpoints, reap_here
from charloom.sagemaker.local.job import artifact, delete_job, existing_job, find_job, job_status, stop_job
from charloom.sagemaker.local.records import LOG, LogFollower, folder_of, hold_folder, last_lines, recorded_names
from charloom.sagemaker.names import S3Uri, as_tag, check_name, fresh_name, is_s3
from charloom.sagemaker.options import TrainingJobOptions

if TYPE_CHECKING:
    from charloom.sagemaker.batch_transform import TransformStatus
    from charloom.sagemaker.cloudwatch import WrittenLine
    from charloom.sagemaker.hosting.delete import Deleted
    from charloom.sagemaker.hosting.deploy import Deployed
    from charloom.sagemaker.hosting.inventory import EndpointState
    from charloom.sagemaker.hosting.settings import EndpointSettings
    from charloom.sagemaker.jobs.attach import AttachedModel
    from charloom.sagemaker.jobs.start import StartedJob, TrainingRequest
    from charloom.sagemaker.sources import Corpus, ModelSource

_JOB_SETTINGS = {"instance", "instances", "name"}  # the others are about Amazon's machines
_ENDPOINT_SETTINGS = {"instance", "instances", "ttl"}
_TICK = 0.5  # seconds between looks at a log


class Local:
    """Jobs and endpoints of this machine; see `Backend`. They cost nothing."""

    aws = None
    where = HERE
    region, dry = LOCAL, False

    def __init__(self, source: Aws | Callable[[], Aws] | None = None) -> None:
        """Fetch models and texts that are in S3 from an account, which is reached when it is needed."""
        self._source = connect if source is None else source

    def _reach(self) -> Aws:
        return self._source() if callable(self._source) else self._source

    def has_job(self, name: str) -> bool:
        """Whether a job of this machine has that name."""
        with contextlib.suppress(UsageError):  # not a valid name: whoever asks further says so
            return find_job(name) is not None
        return False

    def has_endpoint(self, name: str) -> bool:
        """Whether an endpoint of this machine has that name, running or not."""
        with contextlib.suppress(UsageError):
            return find(name) is not None
        return False

    def start(self, request: TrainingRequest, *, output: Path | None = None, notify: Notify = ignore) -> StartedJob:
        """Run a training job to its end, and unpack its model where an output is given."""
        from charloom.sagemaker.jobs.start import StartedJob
        from charloom.sagemaker.local.job_runs import run_job_here

        name, channels, chosen = _plan_job(request)
        instances = request.job.instances
        with _readable(request, chosen, name, notify) as channels["training"]:
            run_job_here(name, channels, chosen, output, instances=instances, reach=self._reach, notify=notify)
        job = existing_job(name)
        return StartedJob(
            name=name,
            arn="",
            corpus=channels["training"],
            output=str(job.folder / "output"),
            checkpoints=str(job.base / "checkpoints"),
            instance=LOCAL,
            instances=instances,
            spot=False,
            max_runtime=0,
            price_per_hour=0.0,
            most=0.0,
        )

    def train(
        self, request: TrainingRequest, output: Path, *, overwrite: bool = False, notify: Notify = ignore
    ) -> JobStatus:
        """Run a training job and write its model; how it ended: Completed or Stopped."""
        from charloom.sagemaker.jobs.attach import receive_model

        self.check_training(request, output, overwrite=overwrite)
        with receive_model(output, overwrite, notify) as made:
            started = self.start(request, output=made, notify=notify)
        return self.status(started.name)

    def check_training(self, request: TrainingRequest, output: Path, *, overwrite: bool = False) -> None:
        """Refuse what `train` would refuse before it begins."""
        from charloom.sagemaker.jobs.attach import check_output
        from charloom.text.sources import check_outside, check_specs

        _plan_job(request)
        check_specs(request.corpus.specs)
        check_outside(output, request.corpus.specs)
        check_output(output, overwrite)

    def status(self, name: str, *, price: float | None = None) -> JobStatus:
        """How a job is; it costs nothing, whatever `price` says."""
        return job_status(existing_job(name))

    def wait(
        self, name: str, *, follow: bool = True, price: float | None = None, every: float = 5.0, notify: Notify = ignore
    ) -> JobStatus:
        self.status(name)  # where there is no such job, it says so
        for line in self._lines(name, 0, follow=True):
            if follow:
                notify(LogLine(line))
        return self._ended(name)

    def _ended(self, name: str) -> JobStatus:
        found = self.status(name)
        if found.status == "Failed":
            raise TrainingError(f"the job {name} failed: {found.failure_reason}")
        return found

    def stop(self, name: str) -> bool:
        return stop_job(existing_job(name))

    def log(self, name: str, *, last: int | None = None, follow: bool = False) -> Iterator[WrittenLine]:
        from charloom.sagemaker.cloudwatch import WrittenLine, plain

        if not self.has_job(name) and not self.has_endpoint(name):
            advice = f"{command(HERE, 'list')} shows what there is"
            raise CharloomError(f"there is no job or endpoint {name} on this machine: {advice}")
        for line in self._lines(name, 10_000 if last is None else last, follow=follow):
            yield WrittenLine(None, "", plain(line))

    def _lines(self, name: str, last: int, *, follow: bool) -> Iterator[str]:
        """The last lines that there are, and those that are written until the job or endpoint ends."""
        path = folder_of("jobs" if self.has_job(name) else "endpoints", name) / LOG
        with contextlib.closing(LogFollower(path)) as followed:
            yield from last_lines(path, last) if last else ()
            while follow and self._is_running(name):
                yield from followed.lines()
                time.sleep(_TICK)
            yield from followed.lines(last=True)

    def _is_running(self, name: str) -> bool:
        if (job := find_job(name)) is not None:
            return job.state in ("InProgress", "Stopping")
        endpoint = find(name)
        return endpoint is not None and endpoint.alive

    def attach(
        self, name: str, output: Path, *, overwrite: bool = False, waiting: bool = True, follow: bool = True,
        price: float | None = None, every: float = 5.0, notify: Notify = ignore,
    ) -> AttachedModel:  # fmt: skip
        from charloom.sagemaker.jobs.attach import attached_model, check_output, receive_model
        from charloom.sagemaker.unpacking import unpack_model

        check_output(output, overwrite)
        if waiting and not self.status(name).over:
            self.wait(name, follow=follow, every=every, notify=notify)
        found = self._ended(name)
        if not found.over:
            raise CharloomError(f"the job {name} still runs here: {command(HERE, 'logs', name, follow=True)}")
        archive = artifact(name)
        with receive_model(output, overwrite, notify) as made:
            unpack_model(archive, made)
        return attached_model(output, found, archive.stat().st_size)

    def jobs(self, *, ended: bool = True) -> list[JobStatus | TransformStatus]:
        found = [job for name in recorded_names("jobs") if (job := find_job(name)) is not None]
        statuses = [job_status(job) for job in sorted(found, key=lambda job: (job.started, job.name))]
        return [one for one in statuses if ended or not one.over]

    def delete_job(self, name: str) -> Deleted:
        """Delete a job with its log, checkpoints and archive, which frees its name."""
        from charloom.sagemaker.hosting.delete import Deleted

        job = existing_job(name)
        if job.state in ("InProgress", "Stopping"):
            raise UsageError(f"the job {name} still runs on this machine: {command(HERE, 'stop', name)}")
        with hold_folder(job.folder):
            delete_job(name)
        shutil.rmtree(_prepared_folder(name), ignore_errors=True)
        return Deleted(name, (f"job {name}",), region=LOCAL)

    def deploy(
        self, model: ModelSource, settings: EndpointSettings, *, name: str | None = None, notify: Notify = ignore
    ) -> Deployed:
        """Put a model behind an endpoint; of the settings only its ttl matters."""
        from charloom.sagemaker.hosting.deploy import Deployed

        name = self.check_deployment(model, settings, name)
        with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
            path = self._fetch(model, Path(temporary, "model.tar.gz"), notify)
            made = deploy_here(name, path, ttl=settings.ttl, notify=notify)
        expires = None if made.expires is None else as_tag(made.expires)
        return Deployed(name, model.text, made.address, LOCAL, 1, LOCAL, 0.0, 0.0, expires)

    def check_deployment(self, model: ModelSource, settings: EndpointSettings, name: str | None) -> str:
        """Refuse what `deploy` would refuse before it begins; the endpoint's name."""
        for choice in sorted(settings.model_fields_set - _ENDPOINT_SETTINGS):
            if getattr(settings, choice):
                flag = "async" if choice == "asynchronous" else choice.replace("_", "-")
                raise UsageError(f"--{flag} has no meaning on this machine: leave it out")
        if settings.instances > 1:
            raise UsageError("this machine is one instance: leave --instances out")
        name = check_name(name or fresh_name(model.stem), "endpoint")
        check_free(name)
        if isinstance(model.place, str) and find_job(model.place) is not None:
            artifact(model.place)
        return name

    def _fetch(self, model: ModelSource, archive: Path, notify: Notify) -> Path:
        """A model as a file or directory; the name of a job is that of one of this machine, else of the account's."""
        if isinstance(model.place, Path):
            return model.place
        if isinstance(model.place, str) and find_job(model.place) is not None:
            return artifact(model.place)
        from charloom.sagemaker.hosting.model_data import find_archive
        from charloom.sagemaker.s3 import download_file

        try:
            aws = self._reach()
        except CloudError as error:
            if isinstance(model.place, S3Uri):
                raise
            missing = f"{model.text}: there is no such model directory, archive or job on this machine"
            raise CloudError(f"{missing}, and the account cannot be asked: {error}", error.code) from error
        download_file(aws, find_archive(aws, model.place), archive, notify)
        return archive

    def endpoints(self, *, now: datetime | None = None) -> list[EndpointState]:
        """Every endpoint that runs, or has ended and left something."""
        from charloom.sagemaker.hosting.inventory import EndpointState

        now = now or datetime.now(UTC)
        return [
            EndpointState(
                name=found.name,
                status=found.status,
                instance=LOCAL,
                instances=1,
                created=found.created,
                age=max(0.0, (now - found.created).total_seconds()),
                per_hour=0.0,
                so_far=0.0,
                expires=found.expires,
                expired=found.expires is not None and found.expires <= now,
                owner="",
                reason="",
            )
            for found in local_endpoints()
        ]

    def delete(self, name: str, *, force: bool = False, notify: Notify = ignore) -> Deleted:
        """End an endpoint and remove what it left."""
        from charloom.sagemaker.hosting.delete import NO_ENDPOINT, Deleted

        if not delete_here(name):
            advice = f"{command(HERE, 'list')} shows what there is"
            raise CloudError(f"there is no endpoint {name} on this machine: {advice}", NO_ENDPOINT)
        return Deleted(name, (f"endpoint {name}",), region=LOCAL)

    def reap(self, *, notify: Notify = ignore, now: datetime | None = None) -> list[Deleted]:
        """Remove what endpoints that have expired or failed left."""
        from charloom.sagemaker.hosting.delete import Deleted

        return [Deleted(name, (f"endpoint {name}",), region=LOCAL) for name in reap_here()]


def _plan_job(request: TrainingRequest) -> tuple[str, dict[str, str], dict[str, str]]:
    """A job's name, its channels but for the text, and its hyperparameters."""
    from charloom.sagemaker.jobs.request import check_validation, hyperparameters

    for setting in sorted(request.job.model_fields_set - _JOB_SETTINGS):
        option = setting.replace("_", "-")
        raise UsageError(f"--{option} is for Amazon's machines: leave it out with --instance local")
    name = check_name(request.job.name or fresh_name("charloom"), "the job")
    channels = {} if request.origin is None else {"model": str(request.origin)}
    if (validation := request.learning.corpus.validation) is not None:
        channels["validation"] = str(validation)
        if not is_s3(str(validation)):
            check_validation(validation)
    return name, channels, hyperparameters(request.learning, request.recipe)


@contextlib.contextmanager
def _readable(request: TrainingRequest, chosen: dict[str, str], name: str, notify: Notify) -> Iterator[str]:
    """The corpus as a channel: one file, folder or address as it is, others prepared into a folder.

    A job that fails or is stopped finds the folder again under its name.
    """
    from charloom.text.preparing import prepare_corpus

    specs = request.corpus.specs
    if request.corpus.uri is not None or (len(specs) == 1 and expand_home(specs[0]).exists()):
        yield specs[0]
        return
    folder = _prepared_folder(name)
    prepare_corpus(specs, folder, request.reading, overwrite=True, notify=notify)
    for field in request.reading.model_fields_set:
        chosen.pop(field.replace("_", "-"), None)
    yield str(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _prepared_folder(name: str) -> Path:
    """The text of a job, prepared; it is there until the job has ended well."""
    from charloom.text.named import cache_folder

    return cache_folder() / "jobs" / name


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
    corpus: Corpus,
    output: Path | str,
    *,
    recipe: str | None = None,
    init_from: Path | str | None = None,
    overwrite: bool = False,
    notify: Notify = ignore,
    **options: Unpack[TrainingJobOptions],
) -> TrainedHere:
    """Train on this machine as a job of SageMaker's would, and write the model: `train` and `attach` in one.

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
    from charloom.sagemaker.jobs.start import TrainingRequest

    request = TrainingRequest.parse(corpus, recipe, init_from, {"instance": LOCAL, **options})
    output = expand_home(output)
    ended = Local().train(request, output, overwrite=overwrite, notify=notify)
    status = INTERRUPTED if ended.status == "Stopped" else 0
    return TrainedHere(ended.name, status, output if (output / "config.json").is_file() else None)


def local_jobs() -> list[JobStatus | TransformStatus]:
    """Every job of this machine, the oldest first: `list_jobs(None)`."""
    return Local().jobs()


def delete_job_here(name: str) -> Deleted:
    """Delete a job of this machine with its log, checkpoints and archive, which frees its name.

    Raises:
        UsageError: it still runs, or another command works on it.
        CharloomError: there is no such job here.
        StorageError: it cannot be removed.
    """
    return Local().delete_job(name)
