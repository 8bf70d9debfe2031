"""Endpoints that grow under load, and some that shrink to nothing: a scalable target, and policies that follow metrics.

A policy that follows a metric cannot wake an endpoint without instances, since that metric is measured for each
instance. So such an endpoint has a second policy: a step, taken when an alarm sees requests wait without an instance.
"""

from __future__ import annotations

from typing import Any

from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.endpoint_requests import VARIANT
from charloom.sagemaker.endpoint_settings import EndpointSettings
from charloom.sagemaker.resources import missing

_BACKLOG = 5.0  # requests that wait for each instance of an asynchronous endpoint
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


def let_grow(aws: Aws, name: str, settings: EndpointSettings) -> None:
    """Let an endpoint that is in service grow to `max_instances`, and wake up where it may shrink to nothing.

    Raises:
        CloudError: it was refused.
    """
    aws.call("application-autoscaling", "register_scalable_target", **target_request(name, settings))
    aws.call("application-autoscaling", "put_scaling_policy", **policy_request(name, settings))
    if settings.scales_to_zero:
        made = aws.call("application-autoscaling", "put_scaling_policy", **waking_request(name))
        aws.call("cloudwatch", "put_metric_alarm", **alarm_request(name, made.get("PolicyARN", "POLICY_ARN")))


def stop_growing(aws: Aws, name: str) -> bool:
    """Remove the scalable target, with it its policies, and the alarm that wakes; whether there was a target.

    Raises:
        CloudError: something was refused; the other was removed all the same.
    """
    try:
        return _deregister(aws, name)
    finally:
        _remove_alarm(aws, name)


def _remove_alarm(aws: Aws, name: str) -> None:
    try:
        aws.call("cloudwatch", "delete_alarms", AlarmNames=[_waking(name)])
    except CloudError as error:
        if not missing(error):
            raise


def _deregister(aws: Aws, name: str) -> bool:
    try:
        aws.call("application-autoscaling", "deregister_scalable_target", **_target(name))
    except CloudError as error:
        if error.code != "ObjectNotFoundException" and "no scalable target" not in error.reason.lower():
            raise
        return False
    return True
