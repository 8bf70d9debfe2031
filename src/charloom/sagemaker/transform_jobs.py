"""Transform jobs at any time after their start: how one is, and stopping it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from charloom.errors import CloudError
from charloom.sagemaker.aws import Answer, Aws
from charloom.sagemaker.cloudwatch import absent, plain
from charloom.sagemaker.names import ENDED, checked_name
from charloom.sagemaker.prices import price_per_hour


@dataclass(frozen=True)
class TransformStatus:
    """How a transform job is. Times are UTC.

    Attributes:
        name: what it is called.
        status: InProgress, Stopping, Completed, Failed or Stopped.
        model: the SageMaker model's name.
        input: the address of its lines.
        output: the folder of its answers.
        created: when it was asked for.
        ended: when its machines were gone; None while it runs.
        instance: the kind of machine.
        instances: how many.
        seconds: that the machines have run; None before they do.
        price_per_hour: USD, of one machine; None: unknown.
        price: USD so far, of all machines; None: unknown.
        failure_reason: why it failed, or "".
    """

    name: str
    status: str
    model: str = ""
    input: str = ""
    output: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    instance: str = ""
    instances: int = 1
    seconds: float | None = None
    price_per_hour: float | None = None
    price: float | None = None
    failure_reason: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in ENDED


def transform_status(aws: Aws, name: str, *, price: float | None = None) -> TransformStatus | None:
    """How a transform job is, started now or long ago; None where there is none of that name.

    Args:
        aws: the account.
        name: the job's.
        price: USD an hour of one machine, where charloom's table is not to be asked.

    Raises:
        UsageError: that is no name.
        CloudError: it may not be asked for.
    """
    checked_name(name, "the job")
    try:
        told = aws.call("sagemaker", "describe_transform_job", TransformJobName=name)
    except CloudError as error:
        if not absent(error):
            raise
        return None
    return _status({"TransformJobName": name, **told}, aws.region, price)


def _status(told: Answer, region: str, price: float | None) -> TransformStatus:
    machines = told.get("TransformResources", {})
    instance, instances = str(machines.get("InstanceType", "")), int(machines.get("InstanceCount", 1))
    hourly = price_per_hour(instance, region, price)
    began, ended = told.get("TransformStartTime"), told.get("TransformEndTime")
    seconds = None if began is None else max(0.0, ((ended or datetime.now(UTC)) - began).total_seconds())
    return TransformStatus(
        name=told["TransformJobName"],
        status=told.get("TransformJobStatus", ""),
        model=told.get("ModelName", ""),
        input=told.get("TransformInput", {}).get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""),
        output=told.get("TransformOutput", {}).get("S3OutputPath", ""),
        created=told.get("CreationTime"),
        ended=ended,
        instance=instance,
        instances=instances,
        seconds=seconds,
        price_per_hour=hourly,
        price=None if hourly is None else hourly * instances * (seconds or 0) / 3600,
        failure_reason=plain(" ".join(told.get("FailureReason", "").split())),
    )


def stop_transform(aws: Aws, name: str) -> bool:
    """End a transform job; whether it was running. What has been answered so far is lost.

    Raises:
        CloudError: there is none of that name, or it may not be stopped.
    """
    try:
        aws.call("sagemaker", "stop_transform_job", TransformJobName=name)
    except CloudError as error:
        if absent(error) or "status" not in error.reason.lower():
            raise
        return False
    return True
