"""The requests that make an endpoint: plain values, to be read and checked without sending any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from charloom.sagemaker.hosting.settings import VARIANT, EndpointSettings
from charloom.sagemaker.instances import has_own_disks

FOUR_FUNCTIONS = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
"""The variables by which AWS's images find `code/inference.py`; our own image does not mind."""

Tags = Sequence[Mapping[str, str]]
Request = dict[str, Any]


def model_request(
    name: str, image: str, data: str, role: str, settings: EndpointSettings, tags: Tags, region: str
) -> Request:
    """CreateModel: an image and the model that it serves."""
    ours = {**FOUR_FUNCTIONS, "SAGEMAKER_REGION": region}
    environment = {"SAGEMAKER_CONTAINER_LOG_LEVEL": "20", **settings.environment, **ours}
    request: Request = {
        "ModelName": name,
        "ExecutionRoleArn": role,
        "PrimaryContainer": {"Image": image, "ModelDataUrl": data, "Environment": environment},
        "Tags": list(tags),
    }
    if settings.isolated:
        request["EnableNetworkIsolation"] = True
    if settings.subnets:
        request["VpcConfig"] = {"Subnets": settings.subnets, "SecurityGroupIds": settings.security_groups}
    return request


def configuration_request(
    name: str, model: str, settings: EndpointSettings, tags: Tags, async_output: str = ""
) -> Request:
    """CreateEndpointConfig: real time, serverless or asynchronous."""
    variant: Request = {"VariantName": VARIANT, "ModelName": model}
    if settings.serverless:
        variant["ServerlessConfig"] = {"MemorySizeInMB": settings.memory, "MaxConcurrency": settings.max_concurrency}
    else:
        variant |= {
            "InstanceType": settings.instance_type,
            "InitialInstanceCount": max(1, settings.instances),  # none is not allowed; autoscaling takes it away
            "InitialVariantWeight": 1.0,
            "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_timeout,
            "ModelDataDownloadTimeoutInSeconds": settings.download_timeout,
        }
    request: Request = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": list(tags)}
    if settings.kms_key and not settings.serverless and not has_own_disks(settings.instance_type):
        request["KmsKeyId"] = settings.kms_key
    if settings.asynchronous:
        request["AsyncInferenceConfig"] = {"OutputConfig": _async_output(async_output, settings)}
    return request


def _async_output(address: str, settings: EndpointSettings) -> Request:
    address = address.rstrip("/")
    output: Request = {"S3OutputPath": f"{address}/output/", "S3FailurePath": f"{address}/failure/"}
    if settings.kms_key:
        output["KmsKeyId"] = settings.kms_key
    topics = {"SuccessTopic": settings.success_topic, "ErrorTopic": settings.error_topic}
    if chosen := {name: topic for name, topic in topics.items() if topic}:
        output["NotificationConfig"] = chosen
    return output


def endpoint_request(name: str, configuration: str, tags: Tags) -> Request:
    """CreateEndpoint."""
    return {"EndpointName": name, "EndpointConfigName": configuration, "Tags": list(tags)}
