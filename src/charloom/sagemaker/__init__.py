"""Amazon SageMaker, a step at a time: upload, train, attach, package, deploy, invoke, transform, delete.

Each step is a function here and a command of `charloom sagemaker`; each takes the account to work in as `aws`
(`connect()`, or `DryRun` to see the requests without sending any). Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.sagemaker.account import Account, connect
    from charloom.sagemaker.async_invoking import collect, invoke_later
    from charloom.sagemaker.attaching import AttachedModel, attach
    from charloom.sagemaker.aws import Aws, DryRun
    from charloom.sagemaker.cloudwatch import WrittenLine, logs
    from charloom.sagemaker.deleting import Deleted, delete, reap
    from charloom.sagemaker.deploying import Deployed, create_model, deploy
    from charloom.sagemaker.endpoint import Endpoint, deployed
    from charloom.sagemaker.endpoint_settings import EndpointSettings
    from charloom.sagemaker.inventory import EndpointState, endpoints
    from charloom.sagemaker.invoking import Answer, invoke, invoke_stream, invoke_text
    from charloom.sagemaker.job_inventory import list_jobs
    from charloom.sagemaker.jobs import JobStatus, status, stop, wait
    from charloom.sagemaker.jobs_here import TrainedHere, delete_job_here, local_jobs, train_here
    from charloom.sagemaker.launching import StartedJob, train
    from charloom.sagemaker.local.endpoints import LocalEndpoint, delete_here, deploy_here
    from charloom.sagemaker.local.job import LocalJob
    from charloom.sagemaker.own_image import ServingImage, build_image, serving_image
    from charloom.sagemaker.packaging import Package, package
    from charloom.sagemaker.planning import JobSettings
    from charloom.sagemaker.prices import Cost, price_per_hour
    from charloom.sagemaker.showing import show
    from charloom.sagemaker.source_dir import pack_source, write_source
    from charloom.sagemaker.transform_jobs import TransformStatus, stop_transform, transform_status
    from charloom.sagemaker.transforming import Transformed, transform
    from charloom.sagemaker.unpacking import unpack_model
    from charloom.sagemaker.uploading import UploadedCorpus, upload

_HOMES = {
    "Account": "account",
    "Answer": "invoking",
    "AttachedModel": "attaching",
    "Aws": "aws",
    "Cost": "prices",
    "Deleted": "deleting",
    "Deployed": "deploying",
    "DryRun": "aws",
    "Endpoint": "endpoint",
    "EndpointSettings": "endpoint_settings",
    "EndpointState": "inventory",
    "JobSettings": "planning",
    "JobStatus": "jobs",
    "LocalEndpoint": "local.endpoints",
    "LocalJob": "local.job",
    "Package": "packaging",
    "ServingImage": "own_image",
    "StartedJob": "launching",
    "TrainedHere": "jobs_here",
    "TransformStatus": "transform_jobs",
    "Transformed": "transforming",
    "UploadedCorpus": "uploading",
    "WrittenLine": "cloudwatch",
    "attach": "attaching",
    "build_image": "own_image",
    "collect": "async_invoking",
    "connect": "account",
    "create_model": "deploying",
    "delete": "deleting",
    "delete_here": "local.endpoints",
    "delete_job_here": "jobs_here",
    "deploy": "deploying",
    "deploy_here": "local.endpoints",
    "deployed": "endpoint",
    "endpoints": "inventory",
    "invoke": "invoking",
    "invoke_later": "async_invoking",
    "invoke_stream": "invoking",
    "invoke_text": "invoking",
    "list_jobs": "job_inventory",
    "local_jobs": "jobs_here",
    "logs": "cloudwatch",
    "pack_source": "source_dir",
    "package": "packaging",
    "price_per_hour": "prices",
    "reap": "deleting",
    "serving_image": "own_image",
    "show": "showing",
    "status": "jobs",
    "stop": "jobs",
    "stop_transform": "transform_jobs",
    "train": "launching",
    "train_here": "jobs_here",
    "transform": "transforming",
    "transform_status": "transform_jobs",
    "unpack_model": "unpacking",
    "upload": "uploading",
    "wait": "jobs",
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
