"""Every choice that an endpoint leaves, declared once: the command line and the Python API read it here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from charloom.sagemaker.instances import (
    LOCAL,
    Cost,
    price_note,
    price_per_hour,
    refuse_arm,
    refuse_unfit,
    unlisted_warning,
)
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.resource_settings import ResourceSettings
from charloom.settings import Duration

DEFAULT_INSTANCE = "ml.c5.large"
"""Two processors without a GPU: the server runs on the CPU, and nothing in the price table is cheaper."""

SHORTEST_TTL = 15 * 60.0  # seconds: an endpoint that is still being created cannot be deleted
LONGEST_TTL = 365 * 86_400.0

_PER_REQUEST = (
    "serverless endpoints are billed by request and memory, nothing while idle; charloom has no price for that"
)

VARIANT = "AllTraffic"
"""The one variant that our endpoints have; SageMaker's own tools call it so too."""


def _machine(instance: str) -> str:
    if instance != LOCAL:
        refuse_unfit(instance, "endpoints")
    return instance


def _address(text: str) -> str:
    S3Uri.parse(text)
    return text


def _topic(text: str) -> str:
    if not text.startswith("arn:"):
        raise ValueError("give the topic's full name, such as arn:aws:sns:us-east-1:111122223333:mine")
    return text


def _ttl(time: Duration) -> Duration:
    if time > LONGEST_TTL:
        raise ValueError("a year at most")
    return time


def _whole_gigabytes(memory: int) -> int:
    if memory % 1024:
        raise ValueError("give 1024, 2048, 3072, 4096, 5120 or 6144")
    return memory


class EndpointSettings(ResourceSettings):
    """What an endpoint runs on, how it grows, and when it ends."""

    model_config = ConfigDict(populate_by_name=True)

    instance: Annotated[str, AfterValidator(_machine)] | None = Field(
        None,
        description="What it runs on: a type such as ml.c5.large (the default), or local, which is this machine.",
    )
    instances: int = Field(
        1, ge=0, le=100, description="How many of them; 0 with async and max-instances: none while it is idle."
    )
    max_instances: int | None = Field(
        None, ge=1, le=100, description="Let it grow to this many under load (autoscaling)."
    )
    requests_per_instance: float = Field(
        1000, gt=0, le=1e9, description="Autoscaling target: requests per instance and minute."
    )
    serverless: bool = Field(False, description="Serverless: billed by request; 4 MB, 60 s, no response streaming.")
    memory: Annotated[int, AfterValidator(_whole_gigabytes)] = Field(
        2048, ge=1024, le=6144, description="Serverless: memory in MB, in steps of 1024."
    )
    max_concurrency: int = Field(5, ge=1, le=200, description="Serverless: requests answered at the same time.")
    asynchronous: bool = Field(False, alias="async", description="Asynchronous: requests and answers pass through S3.")
    async_output: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="Asynchronous: the folder in S3 for answers; the default bucket if not given."
    )
    success_topic: Annotated[str, AfterValidator(_topic)] | None = Field(
        None, description="Asynchronous: the SNS topic that receives answers, by its full name (ARN)."
    )
    error_topic: Annotated[str, AfterValidator(_topic)] | None = Field(
        None, description="Asynchronous: the SNS topic that receives failures, by its full name (ARN)."
    )
    image: str | None = Field(
        None, max_length=255, description="The container image; else the account's charloom-serve, else AWS's own."
    )
    bucket: str | None = Field(
        None, description="Where a model directory is uploaded; SageMaker's default bucket if not given."
    )
    role: str | None = Field(
        None, description="The role it runs under; else CHARLOOM_SAGEMAKER_ROLE, or the notebook's own."
    )
    ttl: Annotated[Duration, AfterValidator(_ttl)] | None = Field(
        None, description="Time after which it is deleted by itself, such as 2h; needs a scheduler role."
    )
    scheduler_role: str | None = Field(
        None, description="The role that may delete it when its time is over; else CHARLOOM_SCHEDULER_ROLE."
    )
    startup_timeout: int = Field(240, ge=60, le=3600, description="Seconds that the container may take to be healthy.")
    download_timeout: int = Field(600, ge=60, le=3600, description="Seconds that fetching the model may take.")
    subnets: list[str] = Field(default_factory=list, max_length=16, description="Subnets of a VPC to run in.")
    security_groups: list[str] = Field(
        default_factory=list, max_length=5, description="Security groups there; subnets and groups go together."
    )
    isolated: bool = Field(False, description="Give the container no network at all.")
    price: float | None = Field(None, gt=0, le=1e6, description="USD an hour of one instance, if you know it better.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        given = self.model_fields_set
        if self.serverless:
            for name in ("instance", "instances", "max_instances", "price", "subnets", "isolated", "asynchronous"):
                if name in given and getattr(self, name):
                    flag = "async" if name == "asynchronous" else name.replace("_", "-")
                    raise ValueError(f"--serverless and --{flag} do not go together")
        elif not self.local:
            refuse_arm(self.instance_type, self.image)
        if self.instances == 0 and not (self.asynchronous and self.max_instances):
            raise ValueError("--instances 0 needs --async and --max-instances: only such an endpoint wakes up again")
        if self.max_instances is not None and self.max_instances < self.instances:
            raise ValueError(f"--max-instances {self.max_instances} is below --instances {self.instances}")
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("--subnets and --security-groups go together")
        for name in ("async_output", "success_topic", "error_topic"):
            if getattr(self, name) and not self.asynchronous:
                raise ValueError(f"--{name.replace('_', '-')} needs --async")
        if self.ttl and not self.local and self.ttl < SHORTEST_TTL:
            raise ValueError(f"--ttl {self.ttl} is too short: {SHORTEST_TTL / 60:g}m at least, for creating takes time")
        return self

    @property
    def local(self) -> bool:
        """Whether it is to run on this machine."""
        return self.instance == LOCAL

    @property
    def instance_type(self) -> str:
        """What it runs on, where it is not serverless."""
        return self.instance or DEFAULT_INSTANCE

    @property
    def most_instances(self) -> int:
        """How many instances it may grow to."""
        return max(self.instances, self.max_instances or 0)

    @property
    def scales_to_zero(self) -> bool:
        """Whether it has no instance, and costs nothing, while there is nothing to do."""
        return self.instances == 0

    def stated_cost(self, region: str) -> str:
        """What it costs in a region, and for how long, in a line for people."""
        rests = f"0 to {self.most_instances}" if self.scales_to_zero else f"{self.instances}"
        what = "serverless" if self.serverless else f"{self.instance_type} × {rests}"
        end = f"it deletes itself after {self.ttl}" if self.ttl else "it costs that until it is deleted"
        if self.asynchronous and not self.scales_to_zero:
            end += ", idle or not (--instances 0 --max-instances 1: nothing while idle)"
        warning = "" if self.serverless else unlisted_warning(self.instance_type, "endpoints")
        return "; ".join(filter(None, (self.cost(region).stated(f"{what} in {region}"), end, warning)))

    def cost(self, region: str) -> Cost:
        """What it costs in a region for as long as it exists."""
        if self.local:
            return Cost(0.0, 0.0, "this machine's")
        if self.serverless:
            return Cost(None, None, _PER_REQUEST)
        one = price_per_hour(self.instance_type, region, self.price)
        note = price_note(self.instance_type, region, self.price)
        if one is None:
            return Cost(None, None, note)
        return Cost(one * self.instances, one * self.most_instances, note)
