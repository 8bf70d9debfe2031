"""Start a training job: plan it, say what it can cost, send its text and code, create it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from charloom.bundle import open_model_directory
from charloom.errors import CloudError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import sha256_of_file
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.cloudwatch import absent
from charloom.sagemaker.commands import command
from charloom.sagemaker.creations import note_created
from charloom.sagemaker.instances import has_arm, price_note, price_per_hour, shown_price, unlisted_warning
from charloom.sagemaker.jobs.request import JobSettings, TrainingJob, plan_job, training_job_request
from charloom.sagemaker.local.twins import notice_twin
from charloom.sagemaker.names import S3Uri, is_s3
from charloom.sagemaker.options import TrainingJobOptions
from charloom.sagemaker.s3 import ensure_bucket, objects_read, refuse_mixed_corpora, upload_file
from charloom.sagemaker.source_dir import ARCHIVE, pack_source
from charloom.sagemaker.uploads import upload
from charloom.settings import LEARNING, ReadingSettings, did_you_mean, validate

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
    def of(cls, job: TrainingJob, price: float | None) -> TrainingCost:
        """By charloom's table, or by the price that the user gives for an hour of one instance."""
        per_hour = price_per_hour(job.instance, job.region, price, kind="training")
        notes = price_note(job.instance, job.region, price, kind="training"), unlisted_warning(job.instance, "training")
        return cls(job, per_hour, "; ".join(filter(None, notes)))

    @property
    def most(self) -> float | None:
        """USD for all instances until SageMaker stops the job; None: unknown."""
        return None if self.per_hour is None else self.per_hour * self.job.instances * self.job.max_runtime / 3600

    def __str__(self) -> str:
        """A sentence for people. It says "about": saving the model, disks and S3 come on top."""
        job = self.job
        many = f"{job.instances} × " if job.instances > 1 else ""
        ended = f"SageMaker stops it after {job.max_runtime / 3600:g} h of training"
        if self.per_hour is None:
            return (
                f"{many}{job.instance} in {job.region}: price unknown, so the most it can cost is unknown too ({ended})"
            )
        most = f"about {shown_price(self.most)} in all at most ({ended}; disks and S3 cost a little more)"
        less = "; spot instances cost less" if job.spot else ""
        return f"{many}{job.instance} in {job.region}: {shown_price(self.per_hour)} an hour each, {most}{less}"


@dataclass(frozen=True)
class StartedJob:
    """A training job that was started.

    Attributes:
        name: what it is called.
        arn: its full name.
        corpus: the address of its text.
        output: the folder in S3 for its model.
        checkpoints: the folder in S3 for its checkpoints.
        instance: the kind of machine.
        instances: how many.
        spot: whether they are ones that others left idle.
        max_runtime: seconds of training at most.
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
class TrainingPlan:
    """A training job that was looked over. Nothing has been sent for it, and nothing is paid for yet.

    Attributes:
        job: as it is asked for; its channels and its code are still to be sent.
        corpus: as it was named.
        learning: the settings of the training.
        origin: the model to start from, as it was named.
        cost: what it can cost.
    """

    job: TrainingJob
    corpus: tuple[str, ...]
    learning: Mapping[str, Any]
    origin: str | None
    cost: TrainingCost


def train(
    aws: Aws,
    corpus: str | Path | Sequence[str | Path],
    *,
    recipe: str | None = None,
    init_from: Path | str | None = None,
    notify: Notify = ignore,
    **options: Unpack[TrainingJobOptions],
) -> StartedJob:
    """Start a training job; `wait` waits for it, `attach` fetches its model. It does not ask: `notify` gets the price.

    What cannot work is refused before anything is sent. A text of this machine is prepared and uploaded first; an
    address in S3 is trained on as it is.

    Args:
        aws: the account.
        corpus: an address in S3 (a prepared corpus, or texts), or what `charloom.train` takes.
        recipe: as `charloom.train` takes it.
        init_from: a model to start from: its directory, or the address in S3 of one or of a `model.tar.gz`.
        notify: receives what happens, and what it will cost.
        **options: fields of `JobSettings` (instance, spot, role...), and settings as `charloom.train` takes them.

    Raises:
        UsageError: an option cannot work; nothing was sent.
        CorpusError: the text cannot be read; no job was started.
        CloudError: Amazon refused something: the name is taken, a quota is reached, the role has no trust...
    """
    plan = plan_training(aws, corpus, recipe=recipe, init_from=init_from, notify=notify, **options)
    notify(Notice(f"{plan.cost}; {plan.cost.note}"))
    return start_training(aws, plan, notify=notify)


def plan_training(
    aws: Aws,
    corpus: str | Path | Sequence[str | Path],
    *,
    recipe: str | None = None,
    init_from: Path | str | None = None,
    notify: Notify = ignore,
    **options: Unpack[TrainingJobOptions],
) -> TrainingPlan:
    """Look a training job over, as `train` does before it sends anything: see there."""
    specs = [str(spec) for spec in ([corpus] if isinstance(corpus, str | Path) else corpus)]
    asked, learning = split_options(options)
    remote = is_remote(specs)
    job = plan_job(aws, asked, learning, recipe)
    if asked.image and has_arm(job.instance):
        notify(Notice(f"{job.instance} has an Arm processor: {asked.image} must be built for arm64"))
    origin = None if init_from is None else str(init_from)
    if origin is not None and not is_s3(origin):
        open_model_directory(origin).sound_files()
    _check_free(aws, job.name)
    notice_twin(job.name, "job", notify)
    if remote:
        address = S3Uri.parse(specs[0])
        refuse_mixed_corpora(address, objects_read(aws, address))
    if origin is not None and is_s3(origin):
        objects_read(aws, S3Uri.parse(origin))
    cost = TrainingCost.of(job, asked.price)
    return TrainingPlan(job if remote else without_reading(job), tuple(specs), learning, origin, cost)


def start_training(aws: Aws, plan: TrainingPlan, *, notify: Notify = ignore) -> StartedJob:
    """Send what a planned job needs, and start it; raises as `train` does."""
    job, learning, specs = plan.job, plan.learning, plan.corpus
    own = S3Uri.parse(job.output) / job.name
    if is_s3(specs[0]):
        ensure_bucket(aws, own.bucket)  # an upload sees to it by itself
        channels = {"training": str(S3Uri.parse(specs[0]))}
    else:
        channels = {"training": _upload_text(aws, job, specs, learning, notify)}
    if "validation" in learning:
        channels["validation"] = _upload_files(
            aws, [Path(learning["validation"]).expanduser()], own / "validation", job, notify
        )
    if plan.origin is not None and is_s3(plan.origin):
        channels["model"] = str(S3Uri.parse(plan.origin))
    elif plan.origin is not None:
        files = open_model_directory(plan.origin).sound_files()  # the one that makes it a model is sent last
        channels["model"] = _upload_files(aws, [*files.values()], own / "init-from", job, notify)
    job = replace(job, channels=channels, source=_source(aws, job, notify))
    return _start(aws, job, plan.cost, notify)


def split_options(options: Mapping[str, Any]) -> tuple[JobSettings, dict[str, Any]]:
    """Flat options, those of the job and those of the training; None means one that was not chosen.

    Raises:
        UsageError: there is no such option, or one of the job's cannot work.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    known = (*JobSettings.model_fields, *LEARNING)
    for name in chosen:
        if name not in known:
            raise UsageError(f"there is no option called {name!r}{did_you_mean(name, known)}")
    job = {name: value for name, value in chosen.items() if name in JobSettings.model_fields}
    return validate(JobSettings, job), {name: value for name, value in chosen.items() if name not in job}


def without_reading(job: TrainingJob) -> TrainingJob:
    """The job without the settings that a prepared corpus has in it already."""
    done = {name.replace("_", "-") for name in ReadingSettings.model_fields}
    kept = {name: value for name, value in job.hyperparameters.items() if name not in done}
    return replace(job, hyperparameters=kept)


def is_remote(specs: list[str]) -> bool:
    """Whether the corpus is in S3 already.

    Raises:
        UsageError: there is none, or one in S3 among others.
    """
    if not specs:
        raise UsageError("name a corpus to train on: an address in S3, or what charloom train takes")
    if any(map(is_s3, specs)) and len(specs) > 1:
        raise UsageError("an address in S3 must be named alone: a folder there may hold several texts")
    return is_s3(specs[0])


def _check_free(aws: Aws, name: str) -> None:
    """Refuse a job name that is taken, before anything is uploaded.

    Raises:
        CloudError: it is taken, or Amazon may not be asked.
    """
    try:
        aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
    except CloudError as error:
        if not absent(error):
            raise
        return
    if not aws.dry:
        message = f"there is a job {name} already, and a job's name is never free again: give another --name"
        raise CloudError(message, "ResourceInUse")


def _upload_text(aws: Aws, job: TrainingJob, specs: Sequence[str], learning: Mapping[str, Any], notify: Notify) -> str:
    reading = {name: value for name, value in learning.items() if name in ReadingSettings.model_fields}
    bucket = S3Uri.parse(job.output).bucket
    return upload(aws, specs, bucket=bucket, kms_key=job.kms_key, notify=notify, **reading).uri


def _upload_files(aws: Aws, files: list[Path], folder: S3Uri, job: TrainingJob, notify: Notify) -> str:
    for path in files:
        upload_file(aws, path, folder / path.name, notify, kms_key=job.kms_key)
    return f"{folder}/"


def _source(aws: Aws, job: TrainingJob, notify: Notify) -> str:
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        archive = pack_source(Path(temporary))
        uri = S3Uri(S3Uri.parse(job.output).bucket, SOURCES) / sha256_of_file(archive)[:16] / ARCHIVE
        upload_file(aws, archive, uri, notify, kms_key=job.kms_key)
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
        instance=job.instance,
        instances=job.instances,
        spot=job.spot,
        max_runtime=job.max_runtime,
        price_per_hour=cost.per_hour,
        most=cost.most,
    )
