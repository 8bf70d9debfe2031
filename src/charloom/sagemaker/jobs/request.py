"""A training job: its settings, checked before anything is sent or paid for, its hyperparameters, its request.

Hyperparameters are a hundred texts of JSON at most, each of 2,500 characters; `container/hyperparameters.py` reads them
in the job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from charloom.errors import CorpusError, MissingExtraError, UsageError
from charloom.files import expand_home
from charloom.report import LOG_METRICS
from charloom.sagemaker.aws import Aws, role_arn
from charloom.sagemaker.instances import gpus, has_own_disks, refuse_arm, training_image, training_type
from charloom.sagemaker.jobs.attach import JOBS
from charloom.sagemaker.names import S3Uri, check_name, fresh_name, tags
from charloom.sagemaker.resource_settings import ResourceSettings
from charloom.sagemaker.s3 import default_bucket
from charloom.sagemaker.source_dir import ENTRY_POINT
from charloom.settings import SECTIONS, Duration, RunSettings, run_settings

MOST, LONGEST = 100, 2500

CHECKPOINTS = "/opt/ml/checkpoints"
"""The folder that SageMaker keeps equal to its copy in S3, also over spot interruptions."""
_USUAL = 3600  # seconds that a job may run where nothing is said
_AROUND = 1800  # seconds beside a budget: installing, reading, evaluating, packing
_LONGEST = 28 * 86_400  # seconds that SageMaker lets a job run


def hyperparameters(learning: RunSettings, recipe: str | None = None) -> dict[str, str]:
    """What was chosen for a training, as hyperparameters: names with hyphens, values as JSON.

    Args:
        learning: the settings that were given, but for a validation text, which is a channel of its own.
        recipe: one that comes with charloom, or the path of a YAML file, whose settings are sent one by one.
    """
    chosen = given_settings(learning)
    chosen.pop("validation", None)
    if chosen.get("track"):
        raise UsageError(
            "track cannot be set for a job on SageMaker: the job's own log has the losses as graphs in CloudWatch"
        )
    sent: dict[str, Any] = {}
    if recipe is not None and recipe in _recipe_names():
        sent["recipe"] = recipe
    elif recipe is not None:
        sent = given_settings(run_settings(_own_recipe(recipe), chosen))
    sent |= chosen
    return encode_values({name: _spell(value) for name, value in sent.items() if value is not None and value != []})


def given_settings(settings: RunSettings) -> dict[str, Any]:
    """The settings of the network, the text and the training that were given, by name."""
    sections = [getattr(settings, name).model_dump(exclude_unset=True) for name in SECTIONS]
    return {name: value for section in sections for name, value in section.items() if value is not None}


def encode_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as JSON, under names with hyphens (those that begin with `sagemaker_` keep their own)."""
    found = {_name(name): json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    refuse_too_many(found)
    for name, text in found.items():
        if len(text) > LONGEST:
            raise UsageError(f"--{name} has {len(text):,} characters: SageMaker takes {LONGEST:,} at most")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UsageError(f"--{name} holds half a character (a lone surrogate), which cannot be sent")
    return found


def refuse_too_many(found: Mapping[str, str]) -> None:
    """See that SageMaker takes so many."""
    if len(found) > MOST:
        raise UsageError(f"{len(found)} hyperparameters: SageMaker takes {MOST} at most; use a recipe")


def _name(name: str) -> str:
    return name if name.startswith("sagemaker_") else name.replace("_", "-")


def _spell(value: Any) -> Any:
    """Lists and times as the command line takes them: SageMaker's toolkit would spell lists as Python does."""
    if isinstance(value, Duration):
        return str(value)
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _recipe_names() -> list[str]:
    files = (resources.files("charloom") / "recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _own_recipe(recipe: str) -> RunSettings:
    if expand_home(recipe).suffix not in (".yaml", ".yml"):
        raise UsageError(f"no such recipe: {recipe}; choose {', '.join(_recipe_names())}, or a .yaml file of your own")
    try:
        from charloom.training.recipes import load_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError("a recipe of your own", "train") from error
    return load_recipe(recipe)


class JobSettings(ResourceSettings):
    """Where a training job runs, for how long at most, and what it is called."""

    longest_value = 512

    instance: Annotated[str, AfterValidator(training_type)] = Field(
        "ml.m5.large", description="The kind of machine, such as ml.g5.xlarge; local runs it here."
    )
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
        None, description="A folder in S3 for checkpoints; that of an earlier job makes this one resume from there."
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


@dataclass(frozen=True)
class TrainingJob:
    """All that makes a training job.

    Attributes:
        name: unique in the account and region.
        region: where it runs.
        settings: as they were given; what follows was found out for those that were not.
        image: the container's address.
        role: the full name of the role it runs under.
        output: the folder in S3 for `NAME/output/model.tar.gz`.
        checkpoints: the folder in S3 that checkpoints are kept in.
        hyperparameters: as `hyperparameters` gives them.
        max_runtime: seconds of training at most.
        max_wait: seconds of waiting for spot machines and training together, at most.
        channels: addresses in S3 by the channel's name.
        source: the address of the code's archive.
    """

    name: str
    region: str
    settings: JobSettings
    image: str
    role: str
    output: str
    checkpoints: str
    hyperparameters: Mapping[str, str]
    max_runtime: int
    max_wait: int
    channels: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


def training_job_request(job: TrainingJob) -> dict[str, Any]:
    """What CreateTrainingJob is sent."""
    settings = job.settings
    stopping = {"MaxRuntimeInSeconds": job.max_runtime}
    if settings.spot:
        stopping["MaxWaitTimeInSeconds"] = job.max_wait
    network: dict[str, Any] = {}
    if settings.subnets:
        network["VpcConfig"] = {"Subnets": settings.subnets, "SecurityGroupIds": settings.security_groups}
    key = {} if settings.kms_key is None else {"KmsKeyId": settings.kms_key}
    volume_key = {"VolumeKmsKeyId": settings.kms_key} if key and not has_own_disks(settings.instance) else {}
    return {
        "TrainingJobName": job.name,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in LOG_METRICS.items()],
            "EnableSageMakerMetricsTimeSeries": True,
        },
        "RoleArn": job.role,
        "InputDataConfig": [_channel(name, uri) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": job.output, **key},
        "ResourceConfig": {
            "InstanceType": settings.instance,
            "InstanceCount": settings.instances,
            "VolumeSizeInGB": settings.volume,
            **volume_key,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": settings.spot,
        "CheckpointConfig": {"S3Uri": job.checkpoints, "LocalPath": CHECKPOINTS},
        "HyperParameters": add_toolkit_values(job),
        **network,
        **({"Environment": settings.environment} if settings.environment else {}),
        **({"EnableInterContainerTrafficEncryption": True} if settings.encrypt_traffic else {}),
        "Tags": tags(**settings.own_tags),
    }


def add_toolkit_values(job: TrainingJob) -> dict[str, str]:
    """The hyperparameters, and those that tell SageMaker's toolkit what to run and how."""
    toolkit: dict[str, Any] = {
        "sagemaker_program": ENTRY_POINT,
        "sagemaker_submit_directory": job.source,
        "sagemaker_region": job.region,
        "sagemaker_job_name": job.name,
        "sagemaker_container_log_level": 20,
    }
    if job.settings.instances > 1 or gpus(job.settings.instance) > 1:
        toolkit["sagemaker_torch_distributed_enabled"] = True
        toolkit["sagemaker_distribution_instance_groups"] = ["homogeneousCluster"]
    together = {**job.hyperparameters, **encode_values(toolkit)}
    refuse_too_many(together)
    return together


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def plan_job(aws: Aws, asked: JobSettings, learning: RunSettings, recipe: str | None) -> TrainingJob:
    """The job, but for its text and code, which have still to be sent."""
    refuse_arm(asked.instance, asked.image)
    name = check_name(asked.name or fresh_name("charloom"), "the job")
    check_validation(learning.corpus.validation)
    chosen = hyperparameters(learning, recipe)
    runtime, wait = _times(asked, learning.training.budget)
    image = asked.image or training_image(aws.region, asked.instance)
    role = role_arn(aws, asked.role)
    place = S3Uri.parse(f"s3://{asked.bucket or default_bucket(aws)}") / JOBS
    kept = place / name / "checkpoints" if asked.checkpoints is None else S3Uri.parse(asked.checkpoints)
    return TrainingJob(
        name=name,
        region=aws.region,
        settings=asked,
        image=image,
        role=role,
        output=str(place),
        checkpoints=str(kept),
        hyperparameters=chosen,
        max_runtime=runtime,
        max_wait=wait,
    )


def check_validation(file: str | Path | None) -> None:
    """See that the validation text is there, where one is named."""
    if file is not None and not expand_home(file).is_file():
        raise CorpusError(f"--validation {file}: there is no such file")


def _times(asked: JobSettings, budget: Duration | None) -> tuple[int, int]:
    """The longest time to train, and to wait and train, in seconds."""
    learning = 0 if budget is None else round(budget)
    runtime = max(_USUAL, learning + _AROUND) if asked.max_runtime is None else _whole(asked.max_runtime)
    if learning >= runtime:
        raise UsageError(f"--budget {budget} does not fit into --max-runtime {asked.max_runtime}: allow more")
    if runtime > _LONGEST:
        raise UsageError("SageMaker lets no job run for longer than 28 days")
    if asked.max_wait is None:
        return runtime, max(2 * runtime, runtime + _USUAL)
    if not asked.spot:
        raise UsageError("--max-wait is for --spot: other machines are not waited for")
    if _whole(asked.max_wait) < runtime:
        raise UsageError(f"--max-wait {asked.max_wait} is less than the longest time to train, {runtime:,} s")
    return runtime, _whole(asked.max_wait)


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
