"""The request that starts a training job, built of plain values and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charloom.sagemaker.hyperparameters import encoded, refuse_too_many
from charloom.sagemaker.instances import gpus, has_own_disks
from charloom.sagemaker.names import tags
from charloom.sagemaker.source_dir import ENTRY_POINT

CHECKPOINTS = "/opt/ml/checkpoints"
"""The folder that SageMaker keeps equal to its copy in S3, also over spot interruptions."""

METRICS = {
    "train:loss": r"(?:loss|train) ([0-9]+\.[0-9]+)",
    "validation:loss": r"validation ([0-9]+\.[0-9]+) nats",
    "validation:bits_per_char": r"nats = ([0-9]+\.[0-9]+) bits/char",
    "epoch": r"epoch ([0-9]+\.[0-9]+)",
}
"""What CloudWatch draws, read from the lines that a training writes where no terminal is."""


@dataclass(frozen=True)
class TrainingJob:
    """All that makes a training job.

    Attributes:
        name: unique in the account and region.
        region: where it runs.
        image: the container's address.
        role: the full name of the role it runs under.
        channels: addresses in S3 by the channel's name.
        source: the address of the code's archive.
        output: the folder in S3 for `NAME/output/model.tar.gz`.
        checkpoints: the folder in S3 that checkpoints are kept in.
        hyperparameters: as `hyperparameters` gives them.
        instance: the kind of machine.
        instances: how many of them.
        spot: take machines that others leave idle: cheaper, and may be taken away.
        max_runtime: seconds of training at most.
        max_wait: seconds of waiting for spot machines and training together, at most.
        volume: gigabytes of disk for each machine.
        subnets: of a VPC to run in; none: in none.
        security_groups: there.
        kms_key: what encrypts disks and the model; None: Amazon's own key.
        own_tags: the user's.
        environment: variables of the container.
        encrypt_traffic: encrypt what several machines send each other.
    """

    name: str
    region: str
    image: str
    role: str
    channels: Mapping[str, str]
    source: str
    output: str
    checkpoints: str
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    instance: str = "ml.m5.large"
    instances: int = 1
    spot: bool = False
    max_runtime: int = 3600
    max_wait: int = 7200
    volume: int = 30
    subnets: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    kms_key: str | None = None
    own_tags: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    encrypt_traffic: bool = False


def training_job_request(job: TrainingJob) -> dict[str, Any]:
    """What CreateTrainingJob is sent.

    Raises:
        UsageError: there are more hyperparameters than SageMaker takes.
    """
    stopping = {"MaxRuntimeInSeconds": job.max_runtime}
    if job.spot:
        stopping["MaxWaitTimeInSeconds"] = job.max_wait
    network: dict[str, Any] = {}
    if job.subnets:
        network["VpcConfig"] = {"Subnets": list(job.subnets), "SecurityGroupIds": list(job.security_groups)}
    key = {} if job.kms_key is None else {"KmsKeyId": job.kms_key}
    volume_key = {} if job.kms_key is None or has_own_disks(job.instance) else {"VolumeKmsKeyId": job.kms_key}
    return {
        "TrainingJobName": job.name,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in METRICS.items()],
            "EnableSageMakerMetricsTimeSeries": True,
        },
        "RoleArn": job.role,
        "InputDataConfig": [_channel(name, uri) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": job.output, **key},
        "ResourceConfig": {
            "InstanceType": job.instance,
            "InstanceCount": job.instances,
            "VolumeSizeInGB": job.volume,
            **volume_key,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": job.spot,
        "CheckpointConfig": {"S3Uri": job.checkpoints, "LocalPath": CHECKPOINTS},
        "HyperParameters": encoded_with_toolkit(job),
        **network,
        **({"Environment": dict(job.environment)} if job.environment else {}),
        **({"EnableInterContainerTrafficEncryption": True} if job.encrypt_traffic else {}),
        "Tags": tags(**job.own_tags),
    }


def encoded_with_toolkit(job: TrainingJob) -> dict[str, str]:
    """The hyperparameters, and those that tell SageMaker's toolkit what to run and how.

    Raises:
        UsageError: there are more than SageMaker takes.
    """
    toolkit: dict[str, Any] = {
        "sagemaker_program": ENTRY_POINT,
        "sagemaker_submit_directory": job.source,
        "sagemaker_region": job.region,
        "sagemaker_job_name": job.name,
        "sagemaker_container_log_level": 20,
    }
    if job.instances > 1 or gpus(job.instance) > 1:
        toolkit["sagemaker_torch_distributed_enabled"] = True
        toolkit["sagemaker_distribution_instance_groups"] = ["homogeneousCluster"]
    together = {**job.hyperparameters, **encoded(toolkit)}
    refuse_too_many(together)
    return together


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}
