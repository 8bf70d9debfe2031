"""Settings of what is made in an account, as keyword arguments: names and types of `JobSettings` and its kin."""

from __future__ import annotations

from typing import TypedDict

from charloom.options import LearningOptions, Time

Pairs = list[str] | dict[str, str]
"""Names with values: as a mapping, or each as `name=value`."""


class ResourceOptions(TypedDict, total=False):
    """Fields of `ResourceSettings`."""

    kms_key: str | None
    tag: Pairs
    env: Pairs


class JobOptions(ResourceOptions, total=False):
    """Fields of `JobSettings`."""

    instance: str
    instances: int
    spot: bool
    max_runtime: Time | None
    max_wait: Time | None
    role: str | None
    name: str | None
    bucket: str | None
    image: str | None
    volume: int
    checkpoints: str | None
    subnets: list[str]
    security_groups: list[str]
    encrypt_traffic: bool
    price: float | None


class TrainingJobOptions(JobOptions, LearningOptions, total=False):
    """What a training job takes: where it runs, and how the network learns."""


class EndpointOptions(ResourceOptions, total=False):
    """Fields of `EndpointSettings`."""

    instance: str | None
    instances: int
    max_instances: int | None
    requests_per_instance: float
    serverless: bool
    memory: int
    max_concurrency: int
    asynchronous: bool
    async_output: str | None
    success_topic: str | None
    error_topic: str | None
    image: str | None
    bucket: str | None
    role: str | None
    ttl: Time | None
    scheduler_role: str | None
    startup_timeout: int
    download_timeout: int
    subnets: list[str]
    security_groups: list[str]
    isolated: bool
    price: float | None


class TransformOptions(ResourceOptions, total=False):
    """Fields of `TransformSettings`."""

    instance: str
    instances: int
    max_payload: int
    concurrency: int
    batch_timeout: Time
    price: float | None
