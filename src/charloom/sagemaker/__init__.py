"""Amazon SageMaker, a step at a time: upload, train, attach, package, deploy, invoke, transform, delete.

Each step is a function here and a command of `charloom sagemaker`; each takes the account to work in as `aws`
(`connect()`, or `DryRun` to see the requests without sending any). Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.sagemaker.aws import Account, Aws, DryRun, connect
    from charloom.sagemaker.batch_transform import (
        Transformed,
        TransformStatus,
        stop_transform,
        transform,
        transform_status,
    )
    from charloom.sagemaker.cloudwatch import WrittenLine, logs
    from charloom.sagemaker.hosting.delete import Deleted, delete, reap
    from charloom.sagemaker.hosting.deploy import Deployed, create_model, deploy
    from charloom.sagemaker.hosting.endpoint import Endpoint, deployed
    from charloom.sagemaker.hosting.inventory import EndpointState, endpoints
    from charloom.sagemaker.hosting.settings import EndpointSettings
    from charloom.sagemaker.images import ServingImage, build_image, serving_image
    from charloom.sagemaker.instances import Cost, price_per_hour
    from charloom.sagemaker.invocation import Answer, collect, invoke, invoke_later, invoke_stream, invoke_text
    from charloom.sagemaker.jobs.attach import AttachedModel, attach
    from charloom.sagemaker.jobs.follow import JobStatus, status, stop, wait
    from charloom.sagemaker.jobs.inventory import list_jobs
    from charloom.sagemaker.jobs.request import JobSettings
    from charloom.sagemaker.jobs.start import StartedJob, train
    from charloom.sagemaker.jobs_here import TrainedHere, delete_job_here, local_jobs, train_here
    from charloom.sagemaker.local.endpoints import LocalEndpoint, delete_here, deploy_here
    from charloom.sagemaker.local.job import LocalJob
    from charloom.sagemaker.notebook import show
    from charloom.sagemaker.packaging import Package, package
    from charloom.sagemaker.source_dir import pack_source, write_source
    from charloom.sagemaker.unpacking import unpack_model
    from charloom.sagemaker.uploads import UploadedCorpus, upload

_HOMES = {
    "Account": "aws",
    "Answer": "invocation",
    "AttachedModel": "jobs.attach",
    "Aws": "aws",
    "Cost": "instances",
    "Deleted": "hosting.delete",
    "Deployed": "hosting.deploy",
    "DryRun": "aws",
    "Endpoint": "hosting.endpoint",
    "EndpointSettings": "hosting.settings",
    "EndpointState": "hosting.inventory",
    "JobSettings": "jobs.request",
    "JobStatus": "jobs.follow",
    "LocalEndpoint": "local.endpoints",
    "LocalJob": "local.job",
    "Package": "packaging",
    "ServingImage": "images",
    "StartedJob": "jobs.start",
    "TrainedHere": "jobs_here",
    "TransformStatus": "batch_transform",
    "Transformed": "batch_transform",
    "UploadedCorpus": "uploads",
    "WrittenLine": "cloudwatch",
    "attach": "jobs.attach",
    "build_image": "images",
    "collect": "invocation",
    "connect": "aws",
    "create_model": "hosting.deploy",
    "delete": "hosting.delete",
    "delete_here": "local.endpoints",
    "delete_job_here": "jobs_here",
    "deploy": "hosting.deploy",
    "deploy_here": "local.endpoints",
    "deployed": "hosting.endpoint",
    "endpoints": "hosting.inventory",
    "invoke": "invocation",
    "invoke_later": "invocation",
    "invoke_stream": "invocation",
    "invoke_text": "invocation",
    "list_jobs": "jobs.inventory",
    "local_jobs": "jobs_here",
    "logs": "cloudwatch",
    "pack_source": "source_dir",
    "package": "packaging",
    "price_per_hour": "instances",
    "reap": "hosting.delete",
    "serving_image": "images",
    "show": "notebook",
    "status": "jobs.follow",
    "stop": "jobs.follow",
    "stop_transform": "batch_transform",
    "train": "jobs.start",
    "train_here": "jobs_here",
    "transform": "batch_transform",
    "transform_status": "batch_transform",
    "unpack_model": "unpacking",
    "upload": "uploads",
    "wait": "jobs.follow",
    "write_source": "source_dir",
}

__all__ = [
    "Account",
    "Answer",
    "AttachedModel",
    "Aws",
    "Cost",
    "Deleted",
    "Deployed",
    "DryRun",
    "Endpoint",
    "EndpointSettings",
    "EndpointState",
    "JobSettings",
    "JobStatus",
    "LocalEndpoint",
    "LocalJob",
    "Package",
    "ServingImage",
    "StartedJob",
    "TrainedHere",
    "TransformStatus",
    "Transformed",
    "UploadedCorpus",
    "WrittenLine",
    "attach",
    "build_image",
    "collect",
    "connect",
    "create_model",
    "delete",
    "delete_here",
    "delete_job_here",
    "deploy",
    "deploy_here",
    "deployed",
    "endpoints",
    "invoke",
    "invoke_later",
    "invoke_stream",
    "invoke_text",
    "list_jobs",
    "local_jobs",
    "logs",
    "pack_source",
    "package",
    "price_per_hour",
    "reap",
    "serving_image",
    "show",
    "status",
    "stop",
    "stop_transform",
    "train",
    "train_here",
    "transform",
    "transform_status",
    "unpack_model",
    "upload",
    "wait",
    "write_source",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'charloom.sagemaker' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"charloom.sagemaker.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
