"""Start a training job: plan it, say what it can cost, send its text and code, create it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from charloom.bundle import open_model_directory
from charloom.errors import CloudError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import expand_home, sha256_of_file
from charloom.sagemaker.aws import Aws, is_missing
from charloom.sagemaker.commands import command
from charloom.sagemaker.creations import note_created
from charloom.sagemaker.instances import has_arm, price_note, price_per_hour, shown_price, unlisted_warning
from charloom.sagemaker.jobs.request import JobSettings, TrainingJob, plan_job, training_job_request
from charloom.sagemaker.kernels import report_missing_kernel
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.options import TrainingJobOptions
from charloom.sagemaker.other_regions import warn_of_twin
from charloom.sagemaker.s3 import ensure_bucket, objects_read, refuse_mixed_corpora, upload_file
from charloom.sagemaker.source_dir import ARCHIVE, pack_source
from charloom.sagemaker.sources import Corpus, CorpusSource, Origin, parse_origin
from charloom.sagemaker.uploads import upload
from charloom.settings import LEARNING, ReadingSettings, RunSettings, run_settings, validate
from charloom.wrong_values import did_you_mean

SOURCES = "charloom/source"
"""The folder of a bucket that the code of jobs is kept in, by its checksum: an earlier job's never changes."""


@dataclass(frozen=True)
class TrainingCost:
    """What a training job can cost.

    Attributes:
        job: what is asked for.
        per_hour: USD, of one instance; None: unknown.
        note: where the price comes from, or what is known instead; and a warning about the instance type.
    """

    job: TrainingJob
    per_hour: float | None
    note: str

    @classmethod
    def of(cls, job: TrainingJob) -> TrainingCost:
        """By charloom's table, or by the price that the user gives for an hour of one instance."""
        instance = job.settings.instance
        per_hour = price_per_hour(instance, job.region, job.settings.price, kind="training")
        note = price_note(instance, job.region, job.settings.price, kind="training")
        return cls(job, per_hour, "; ".join(filter(None, (note, unlisted_warning(instance, "training")))))

    @property
    def most(self) -> float | None:
        """USD for all instances until SageMaker stops the job; None: unknown."""
        hours = self.job.settings.instances * self.job.max_runtime / 3600
        return None if self.per_hour is None else self.per_hour * hours

    def __str__(self) -> str:
        """A sentence for people. It says "about": saving the model, disks and S3 come on top."""
        settings = self.job.settings
        many = f"{settings.instances} × " if settings.instances > 1 else ""
        what = f"{many}{settings.instance} in {self.job.region}"
        ended = f"SageMaker stops it after {self.job.max_runtime / 3600:g} h of training"
        if self.per_hour is None:
            return f"{what}: price unknown, so the most it can cost is unknown too ({ended})"
        most = f"about {shown_price(self.most)} in all at most ({ended}; disks and S3 cost a little more)"
        less = "; spot instances cost less" if settings.spot else ""
        return f"{what}: {shown_price(self.per_hour)} an hour each, {most}{less}"


@dataclass(frozen=True)
class StartedJob:
    """A training job that was started.

    Attributes:
        name: what it is called.
        arn: its full name.
        corpus: the address of its text.
        output: the folder in S3 for its model.
        checkpoints: the folder in S3 for its checkpoints.
        instance: the kind of machine; "local" is this machine.
        instances: how many.
        spot: whether they are ones that others left idle.
        max_runtime: seconds of training at most; 0: no limit.
        price_per_hour: USD, of one machine; None: unknown.
        most: USD that it can cost; None: unknown.
    """

    name: str
    arn: str
    corpus: str
    output: str
    checkpoints: str
    instance: str
    instances: int
    spot: bool
    max_runtime: int
    price_per_hour: float | None
    most: float | None


@dataclass(frozen=True)
class TrainingRequest:
    """What is to be trained, and where.

    Attributes:
        corpus: what on.
        job: where it runs.
        learning: the settings of the training that were given.
        recipe: a recipe that they go over.
        origin: the model to start from.
    """

    corpus: CorpusSource
    job: JobSettings
    learning: RunSettings
    recipe: str | None = None
    origin: Origin | None = None

    @classmethod
    def parse(
        cls, corpus: Corpus, recipe: str | None, init_from: Path | str | None, options: TrainingJobOptions
    ) -> TrainingRequest:
        """Build it from flat options of the job and of the training; None means one that was not chosen."""
        chosen = {name: value for name, value in options.items() if value is not None}
        known = (*JobSettings.model_fields, *LEARNING)
        for name in chosen:
            if name not in known:
                raise UsageError(f"there is no option called {name!r}{did_you_mean(name, known)}")
        job = {name: chosen.pop(name) for name in [*chosen] if name in JobSettings.model_fields}
        learning = run_settings(RunSettings(), chosen)
        return cls(CorpusSource.parse(corpus), validate(JobSettings, job), learning, recipe, parse_origin(init_from))

    @property
    def reading(self) -> ReadingSettings:
        """The settings that were given of how the text is read, which a prepared corpus has in it already."""
        given = self.learning.corpus.model_dump(exclude_unset=True, include={*ReadingSettings.model_fields})
        return ReadingSettings(**given)

    def without_reading(self, hyperparameters: Mapping[str, str]) -> dict[str, str]:
        """Hyperparameters for a corpus that is prepared."""
        done = {name.replace("_", "-") for name in ReadingSettings.model_fields}
        return {name: value for name, value in hyperparameters.items() if name not in done}


@dataclass(frozen=True)
class TrainingPlan:
    """A training job that was looked over. Nothing has been sent for it, and nothing is paid for yet.

    Attributes:
        request: what was asked for.
        job: the job; its channels and its code are still to be sent.
        cost: what it can cost.
    """

    request: TrainingRequest
    job: TrainingJob
    cost: TrainingCost


def plan_training(aws: Aws, request: TrainingRequest, *, notify: Notify = ignore) -> TrainingPlan:
    """Look a training job over, before anything is sent."""
    job = plan_job(aws, request.job, request.learning, request.recipe)
    if request.job.image and has_arm(request.job.instance):
        notify(Notice(f"{request.job.instance} has an Arm processor: {request.job.image} must be built for arm64"))
    _check_free(aws, job.name)
    warn_of_twin(job.name, "job", notify)
    if request.corpus.uri is not None:
        refuse_mixed_corpora(request.corpus.uri, objects_read(aws, request.corpus.uri))
    else:
        job = replace(job, hyperparameters=request.without_reading(job.hyperparameters))
    if isinstance(request.origin, S3Uri):
        objects_read(aws, request.origin)
    return TrainingPlan(request, job, TrainingCost.of(job))


def start_training(aws: Aws, plan: TrainingPlan, *, notify: Notify = ignore) -> StartedJob:
    """Send what a planned job needs, and start it."""
    job, request = plan.job, plan.request
    own, key = S3Uri.parse(job.output) / job.name, job.settings.kms_key
    if request.corpus.uri is not None:
        ensure_bucket(aws, own.bucket)  # an upload sees to it by itself
        channels = {"training": str(request.corpus.uri)}
    else:
        specs = request.corpus.specs
        sent = upload(aws, specs, request.reading, bucket=own.bucket, kms_key=key, notify=notify)
        channels = {"training": sent.uri}

    def send(name: str, files: Iterable[Path], folder: S3Uri) -> None:
        for path in files:
            upload_file(aws, path, folder / path.name, notify, kms_key=key)
        channels[name] = f"{folder}/"

    if (validation := request.learning.corpus.validation) is not None:
        send("validation", [expand_home(validation)], own / "validation")
    if isinstance(request.origin, S3Uri):
        channels["model"] = str(request.origin)
    elif request.origin is not None:
        files = open_model_directory(request.origin).sound_files()  # the one that makes it a model is sent last
        send("model", files.values(), own / "init-from")
    job = replace(job, channels=channels, source=_source(aws, job, notify))
    return _start(aws, job, plan.cost, notify)


def _check_free(aws: Aws, name: str) -> None:
    """Refuse a job name that is taken, before anything is uploaded."""
    try:
        aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
    except CloudError as error:
        if not is_missing(error):
            raise
        return
    if not aws.dry:
        message = f"there is a job {name} already, and a job's name is never free again: give another --name"
        raise CloudError(message, "ResourceInUse")


def _source(aws: Aws, job: TrainingJob, notify: Notify) -> str:
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        archive = pack_source(Path(temporary))
        report_missing_kernel(notify)
        uri = S3Uri(S3Uri.parse(job.output).bucket, SOURCES) / sha256_of_file(archive)[:16] / ARCHIVE
        upload_file(aws, archive, uri, notify, kms_key=job.settings.kms_key)
    return str(uri)


def _start(aws: Aws, job: TrainingJob, cost: TrainingCost, notify: Notify) -> StartedJob:
    request = training_job_request(job)
    note_created(aws, "training", job.name)
    try:
        answer = aws.call("sagemaker", "create_training_job", **request)
    except KeyboardInterrupt:
        notify(Notice(f"it may have started all the same: {command(aws, 'status', job.name)}"))
        raise
    return StartedJob(
        name=job.name,
        arn=answer.get("TrainingJobArn", ""),
        corpus=job.channels["training"],
        output=job.output,
        checkpoints=job.checkpoints,
        instance=job.settings.instance,
        instances=job.settings.instances,
        spot=job.settings.spot,
        max_runtime=job.max_runtime,
        price_per_hour=cost.per_hour,
        most=cost.most,
    )
