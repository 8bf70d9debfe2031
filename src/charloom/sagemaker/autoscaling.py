"""Endpoints that grow under load: a scalable target, and a policy that follows a metric."""

from __future__ import annotations

from typing import Any

from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.endpoint_requests import VARIANT
from charloom.sagemaker.endpoint_settings import EndpointSettings

_BACKLOG = 5.0  # requests that wait for each instance of an asynchronous endpoint
_GROWS_AFTER, _SHRINKS_AFTER = 60, 300  # seconds


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


def let_grow(aws: Aws, name: str, settings: EndpointSettings) -> None:
    """Let an endpoint that is in service grow to `max_instances`.

    Raises:
        CloudError: it was refused.
    """
    aws.call("application-autoscaling", "register_scalable_target", **target_request(name, settings))
    aws.call("application-autoscaling", "put_scaling_policy", **policy_request(name, settings))


def stop_growing(aws: Aws, name: str) -> bool:
    """Remove the scalable target, and with it its policies; whether there was one.

    Raises:
        CloudError: it was refused.
    """
    try:
        aws.call("application-autoscaling", "deregister_scalable_target", **_target(name))
    except CloudError as error:
        if error.code != "ObjectNotFoundException" and "no scalable target" not in error.reason.lower():
            raise
        return False
    return True
