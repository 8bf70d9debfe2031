"""A training job as it is asked for, looked over before anything is sent or paid for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from charloom.errors import CorpusError, UsageError
from charloom.sagemaker.account import role_arn
from charloom.sagemaker.amazon_images import training_image
from charloom.sagemaker.attaching import JOBS
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.hyperparameters import hyperparameters
from charloom.sagemaker.instances import refuse_arm, refuse_unfit
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name
from charloom.sagemaker.resource_settings import ResourceSettings
from charloom.sagemaker.storage import default_bucket
from charloom.sagemaker.training_request import TrainingJob
from charloom.settings import Duration, duration_seconds

_USUAL = 3600  # seconds that a job may run where nothing is said
_AROUND = 1800  # seconds beside a budget: installing, reading, evaluating, packing
_LONGEST = 28 * 86_400  # seconds that SageMaker lets a job run


class JobSettings(ResourceSettings):
    """Where a training job runs, for how long at most, and what it is called."""

    longest_value = 512

    instance: str = Field("ml.m5.large", description="The kind of machine, such as ml.g5.xlarge; local runs it here.")
    instances: int = Field(1, ge=1, le=100, description="How many machines train the one model, by torchrun.")
    spot: bool = Field(
        False, description="Take machines that others leave idle: cheaper; checkpoints survive an interruption."
    )
    max_runtime: Duration | None = Field(
        None, description="The longest time to train, as in 90m or 2h (1h, or the budget and 30m, if not given)."
    )
    max_wait: Duration | None = Field(
        None, description="With spot: the longest time to wait and train (twice max-runtime if not given)."
    )
    role: str | None = Field(
        None, description="The role that the job runs under; else CHARLOOM_SAGEMAKER_ROLE, or the notebook's own."
    )
    name: str | None = Field(None, description="What to call the job; a fresh name if not given.")
    bucket: str | None = Field(
        None, description="The bucket for all that is sent and comes out; else SageMaker's default one."
    )
    image: str | None = Field(None, description="The container's address; else Amazon's newest image for PyTorch.")
    volume: int = Field(30, ge=1, le=16_384, description="Gigabytes of disk of each machine.")
    checkpoints: str | None = Field(
        None, description="A folder in S3 for checkpoints; that of an earlier job makes this one go on from there."
    )
    subnets: list[str] = Field(default_factory=list, max_length=16, description="Subnets of a VPC to run in.")
    security_groups: list[str] = Field(
        default_factory=list, max_length=5, description="Security groups there; subnets and groups go together."
    )
    encrypt_traffic: bool = Field(False, description="Encrypt what several machines send each other; it is slower.")
    price: float | None = Field(None, ge=0, le=10_000, description="USD an hour of one machine, if you know better.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("--subnets and --security-groups go together")
        return self


def planned(aws: Aws, asked: JobSettings, options: Mapping[str, Any], recipe: str | None) -> TrainingJob:
    """The job, but for its text and code, which have still to be sent.

    Args:
        aws: the account.
        asked: where it runs.
        options: settings of the training, as `charloom.train` takes them; `validation`, a file, travels apart.
        recipe: as `hyperparameters` takes it.

    Raises:
        UsageError: it cannot work.
        CorpusError: there is no such validation text.
    """
    refuse_unfit(asked.instance, "training")
    refuse_arm(asked.instance, asked.image)
    name = checked_name(asked.name or fresh_name("charloom"), "the job")
    check_validation(options.get("validation"))
    chosen = hyperparameters({key: value for key, value in options.items() if key != "validation"}, recipe)
    runtime, wait = _times(asked, options.get("budget"))
    image = asked.image or training_image(aws.region, asked.instance)
    role = role_arn(aws, asked.role)
    place = S3Uri.parse(f"s3://{asked.bucket or default_bucket(aws)}") / JOBS
    kept = place / name / "checkpoints" if asked.checkpoints is None else S3Uri.parse(asked.checkpoints)
    return TrainingJob(
        name=name,
        region=aws.region,
        image=image,
        role=role,
        channels={},
        source="",
        output=str(place),
        checkpoints=str(kept),
        hyperparameters=chosen,
        instance=asked.instance,
        instances=asked.instances,
        spot=asked.spot,
        max_runtime=runtime,
        max_wait=wait,
        volume=asked.volume,
        subnets=asked.subnets,
        security_groups=asked.security_groups,
        kms_key=asked.kms_key,
        own_tags=asked.own_tags,
        environment=asked.environment,
        encrypt_traffic=asked.encrypt_traffic,
    )


def check_validation(file: str | Path | None) -> None:
    """See that the validation text is there, where one is named.

    Raises:
        CorpusError: it is not.
    """
    if file is not None and not Path(file).expanduser().is_file():
        raise CorpusError(f"--validation {file}: there is no such file")


def _times(asked: JobSettings, budget: str | None) -> tuple[int, int]:
    """The longest time to train, and to wait and train, in seconds."""
    learning = 0 if budget is None else round(duration_seconds(budget))
    runtime = max(_USUAL, learning + _AROUND) if asked.max_runtime is None else _seconds(asked.max_runtime)
    if learning >= runtime:
        raise UsageError(f"--budget {budget} does not fit into --max-runtime {asked.max_runtime}: allow more")
    if runtime > _LONGEST:
        raise UsageError("SageMaker lets no job run for longer than 28 days")
    if asked.max_wait is None:
        return runtime, max(2 * runtime, runtime + _USUAL)
    if not asked.spot:
        raise UsageError("--max-wait is for --spot: other machines are not waited for")
    if _seconds(asked.max_wait) < runtime:
        raise UsageError(f"--max-wait {asked.max_wait} is less than the longest time to train, {runtime:,} s")
    return runtime, _seconds(asked.max_wait)


def _seconds(duration: str) -> int:
    return max(1, round(duration_seconds(duration)))
