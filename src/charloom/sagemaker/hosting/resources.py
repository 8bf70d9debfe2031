"""The AWS resources of an endpoint: model, configuration, endpoint; its autoscaling and its scheduled deletion.

A policy that follows a metric cannot wake an endpoint without instances, since that metric is measured for each
instance. So an endpoint that scales to zero has a second policy: a step, taken when an alarm sees requests wait without
an instance.

An endpoint that ends by itself has one call of DeleteEndpoint, scheduled before the endpoint is created. EventBridge
Scheduler makes the call with a role of its own and then removes the schedule: there is no function to maintain. What
does not bill, the model and the configuration, stays until `delete` or `reap`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from charloom.errors import CloudError, UsageError
from charloom.sagemaker.aws import Answer, Aws, is_missing, named_role
from charloom.sagemaker.commands import command
from charloom.sagemaker.hosting.settings import VARIANT, EndpointSettings
from charloom.sagemaker.names import OURS, partition

Kind = Literal["model", "endpoint_config", "endpoint"]

WORDS: dict[Kind, str] = {
    "model": "model",
    "endpoint_config": "endpoint configuration",
    "endpoint": "endpoint",
}

# Each operation is written out by its name: the policies in the docs are compared with what the code calls.
_DESCRIBE: dict[Kind, Callable[[Aws, str], Answer]] = {
    "model": lambda aws, name: aws.call("sagemaker", "describe_model", ModelName=name),
    "endpoint_config": lambda aws, name: aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=name),
    "endpoint": lambda aws, name: aws.call("sagemaker", "describe_endpoint", EndpointName=name),
}
_CREATE: dict[Kind, Callable[[Aws, dict[str, Any]], Answer]] = {
    "model": lambda aws, request: aws.call("sagemaker", "create_model", **request),
    "endpoint_config": lambda aws, request: aws.call("sagemaker", "create_endpoint_config", **request),
    "endpoint": lambda aws, request: aws.call("sagemaker", "create_endpoint", **request),
}
_DELETE: dict[Kind, Callable[[Aws, str], Answer]] = {
    "model": lambda aws, name: aws.call("sagemaker", "delete_model", ModelName=name),
    "endpoint_config": lambda aws, name: aws.call("sagemaker", "delete_endpoint_config", EndpointConfigName=name),
    "endpoint": lambda aws, name: aws.call("sagemaker", "delete_endpoint", EndpointName=name),
}

MARK = "charloom:creation"
"""The tag that says which run of `deploy` made a resource: its value is that run's own random number."""

_BACKLOG = 5.0  # requests that wait for each instance of an asynchronous endpoint
SCHEDULER_ROLE = "CHARLOOM_SCHEDULER_ROLE"
"""The role that deletes endpoints, where no option names one."""
_GROUP = "default"
_NAME_LIMIT = 64


def field(kind: Kind, suffix: str = "Name") -> str:
    """What Amazon calls the name (or Arn) of such a resource: EndpointConfigName."""
    return "".join(part.title() for part in kind.split("_")) + suffix


def is_taken(error: CloudError) -> bool:
    """Whether Amazon says that the name is taken."""
    return "already exist" in error.reason.lower() or error.code in ("ResourceInUse", "ConflictException")


def look(aws: Aws, kind: Kind, name: str) -> Answer | None:
    """What Amazon says of a resource; None where there is none (and in a dry run)."""
    try:
        return _DESCRIBE[kind](aws, name) or None
    except CloudError as error:
        if not is_missing(error):
            raise
        return None


def tags_of(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource, by its full name."""
    pages = aws.pages("sagemaker", "list_tags", ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page.get("Tags", [])}


def tags_by_name(aws: Aws, kind: Kind, name: str) -> dict[str, str] | None:
    """The tags of a resource by its short name; None where there is none."""
    found = look(aws, kind, name)
    return None if found is None else tags_of(aws, found[field(kind, "Arn")])


def is_ours(tags: dict[str, str] | None) -> bool:
    """Whether these are the tags of something that charloom made."""
    return tags is not None and OURS in tags


def create(aws: Aws, kind: Kind, request: dict[str, Any], mark: str) -> None:
    """Create a resource that carries a mark; one that this very run has made already is as good.

    That happens when an answer is lost on its way and the request is sent again.
    """
    name = request[field(kind)]
    try:
        _CREATE[kind](aws, request)
    except CloudError as error:
        if not is_taken(error):
            raise
        if (tags_by_name(aws, kind, name) or {}).get(MARK) != mark:
            raise UsageError(
                f"the {WORDS[kind]} {name} exists already: give another --name, "
                f"or delete it with {command(aws, 'delete', name)}"
            ) from error


def remove(aws: Aws, kind: Kind, name: str) -> bool:
    """Delete a resource; whether there was one."""
    try:
        _DELETE[kind](aws, name)
    except CloudError as error:
        if not is_missing(error):
            raise
        return False
    return True


_GROWS_AFTER, _SHRINKS_AFTER = 60, 300  # seconds
_LOOKS, _LOOK_EVERY = 2, 60  # how often in a row requests have to wait without an instance, and seconds between


def _target(name: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def target_request(name: str, settings: EndpointSettings) -> dict[str, Any]:
    """RegisterScalableTarget: between how many and how many instances."""
    return {**_target(name), "MinCapacity": settings.instances, "MaxCapacity": settings.most_instances}


def policy_request(name: str, settings: EndpointSettings) -> dict[str, Any]:
    """PutScalingPolicy: requests a minute for each instance; for an asynchronous endpoint, those that wait."""
    following: dict[str, Any] = {"ScaleOutCooldown": _GROWS_AFTER, "ScaleInCooldown": _SHRINKS_AFTER}
    if settings.asynchronous:
        following |= {
            "TargetValue": _BACKLOG,
            "CustomizedMetricSpecification": {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Dimensions": [{"Name": "EndpointName", "Value": name}],
                "Statistic": "Average",
            },
        }
    else:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        following |= {"TargetValue": settings.requests_per_instance, "PredefinedMetricSpecification": metric}
    return {
        **_target(name),
        "PolicyName": f"charloom-{name}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": following,
    }


def waking_request(name: str) -> dict[str, Any]:
    """PutScalingPolicy: the first instance of an asynchronous endpoint that has none."""
    return {
        **_target(name),
        "PolicyName": _waking(name),
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": _SHRINKS_AFTER,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }


def alarm_request(name: str, policy: str) -> dict[str, Any]:
    """PutMetricAlarm: requests wait, and there is no instance; what happens then is the policy of that full name."""
    return {
        "AlarmName": _waking(name),
        "AlarmDescription": f"charloom: wakes the endpoint {name}, which has no instance while it is idle",
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": [{"Name": "EndpointName", "Value": name}],
        "Statistic": "Average",
        "Period": _LOOK_EVERY,
        "EvaluationPeriods": _LOOKS,
        "DatapointsToAlarm": _LOOKS,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [policy],
    }


def _waking(name: str) -> str:
    return f"charloom-{name}-wakes"


def enable_autoscaling(aws: Aws, name: str, settings: EndpointSettings) -> None:
    """Let an endpoint that is in service grow to `max_instances`, and wake up where it may shrink to nothing."""
    aws.call("application-autoscaling", "register_scalable_target", **target_request(name, settings))
    aws.call("application-autoscaling", "put_scaling_policy", **policy_request(name, settings))
    if settings.scales_to_zero:
        made = aws.call("application-autoscaling", "put_scaling_policy", **waking_request(name))
        aws.call("cloudwatch", "put_metric_alarm", **alarm_request(name, made.get("PolicyARN", "POLICY_ARN")))


def disable_autoscaling(aws: Aws, name: str) -> bool:
    """Remove the scalable target, with it its policies, and the alarm that wakes; whether there was a target."""
    try:
        return _deregister(aws, name)
    finally:
        _remove_alarm(aws, name)


def _remove_alarm(aws: Aws, name: str) -> None:
    try:
        aws.call("cloudwatch", "delete_alarms", AlarmNames=[_waking(name)])
    except CloudError as error:
        if not is_missing(error):
            raise


def _deregister(aws: Aws, name: str) -> bool:
    try:
        aws.call("application-autoscaling", "deregister_scalable_target", **_target(name))
    except CloudError as error:
        if not is_missing(error):
            raise
        return False
    return True


_RETRIES, _RETRIED_FOR = 185, 86_400  # an endpoint that is being updated cannot be deleted just then


def expires_at(seconds: float, now: datetime | None = None) -> datetime:
    """The moment, in UTC and whole seconds, that lies so many seconds ahead."""
    return ((now or datetime.now(UTC)).astimezone(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def schedule_name(endpoint: str) -> str:
    """The name of an endpoint's schedule: every endpoint has one of its own, and policies can name them all."""
    name = f"charloom-{endpoint}"
    if len(name) <= _NAME_LIMIT:
        return name
    mark = hashlib.sha256(endpoint.encode()).hexdigest()[:12]
    return f"{name[: _NAME_LIMIT - len(mark) - 1]}-{mark}"


def schedule_request(endpoint: str, moment: datetime, role: str, region: str) -> dict[str, Any]:
    """CreateSchedule: DeleteEndpoint, once, at a moment; the schedule then removes itself."""
    return {
        "Name": schedule_name(endpoint),
        "GroupName": _GROUP,
        "Description": f"charloom: deletes the endpoint {endpoint}, whose time is over",
        "ScheduleExpression": f"at({moment.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": f"arn:{partition(region)}:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": role,
            "Input": json.dumps({"EndpointName": endpoint}),
            "RetryPolicy": {"MaximumRetryAttempts": _RETRIES, "MaximumEventAgeInSeconds": _RETRIED_FOR},
        },
    }


def scheduler_role_arn(aws: Aws, role: str | None) -> str:
    """The full name of the role that deletes endpoints when their time is over."""
    needed = (
        "--ttl needs a role that EventBridge Scheduler may assume to delete the endpoint: --scheduler-role NAME, "
        f"or {SCHEDULER_ROLE}; see docs/how-to/deploy-on-sagemaker.md"
    )
    return named_role(aws, role, SCHEDULER_ROLE, needed)


def schedule_deletion(aws: Aws, endpoint: str, moment: datetime, role: str) -> None:
    """Have an endpoint deleted at a moment."""
    aws.call("scheduler", "create_schedule", **schedule_request(endpoint, moment, role, aws.region))


def cancel_deletion(aws: Aws, endpoint: str) -> bool:
    """Remove an endpoint's schedule; whether there was one."""
    try:
        aws.call("scheduler", "delete_schedule", Name=schedule_name(endpoint), GroupName=_GROUP)
    except CloudError as error:
        if not is_missing(error):
            raise
        return False
    return True
