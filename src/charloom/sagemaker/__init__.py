"""Amazon SageMaker, a step at a time: upload, train, attach, package, deploy, invoke, transform, delete.

Each step is a function here and a command of `charloom sagemaker`; each takes the account to work in as `aws`
(`connect()`, or `DryRun` to see the requests without sending any). Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.sagemaker.aws import Account, Aws, DryRun, connect
    from charloom.sagemaker.backend import (
        attach,
        delete,
        deploy,
        endpoints,
        list_jobs,
        logs,
        reap,
        status,
        stop,
        train,
        wait,
    )
    from charloom.sagemaker.batch_transform import (
        Transformed,
        TransformStatus,
        stop_transform,
        transform,
        transform_status,
    )
    from charloom.sagemaker.cloudwatch import WrittenLine
    from charloom.sagemaker.hosting.delete import Deleted
    from charloom.sagemaker.hosting.deploy import Deployed, create_model
    from charloom.sagemaker.hosting.endpoint import Endpoint, deployed
    from charloom.sagemaker.hosting.inventory import EndpointState
    from charloom.sagemaker.hosting.settings import EndpointSettings
    from charloom.sagemaker.images import ServingImage, build_image, serving_image
    from charloom.sagemaker.instances import Cost, price_per_hour
    from charloom.sagemaker.invocation import Answer, collect, invoke, invoke_later, invoke_stream, invoke_text
    from charloom.sagemaker.jobs.attach import AttachedModel
    from charloom.sagemaker.jobs.follow import JobStatus
    from charloom.sagemaker.jobs.request import JobSettings
    from charloom.sagemaker.jobs.start import StartedJob
    from charloom.sagemaker.local.backend import TrainedHere, delete_job_here, local_jobs, train_here
    from charloom.sagemaker.local.endpoints import LocalEndpoint, delete_here, deploy_here
    from charloom.sagemaker.local.job import LocalJob
    from charloom.sagemaker.notebook import show
    from charloom.sagemaker.packaging import Package, package
    from charloom.sagemaker.source_dir import pack_source, write_source
    from charloom.sagemaker.unpacking import unpack_model
    from charloom.sagemaker.uploads import UploadedCorpus, upload

_NAMES = {
    "aws": "Account Aws DryRun connect",
    "backend": "attach delete deploy endpoints list_jobs logs reap status stop train wait",
    "batch_transform": "TransformStatus Transformed stop_transform transform transform_status",
    "cloudwatch": "WrittenLine",
    "hosting.delete": "Deleted",
    "hosting.deploy": "Deployed create_model",
    "hosting.endpoint": "Endpoint deployed",
    "hosting.inventory": "EndpointState",
    "hosting.settings": "EndpointSettings",
    "images": "ServingImage build_image serving_image",
    "instances": "Cost price_per_hour",
    "invocation": "Answer collect invoke invoke_later invoke_stream invoke_text",
    "jobs.attach": "AttachedModel",
    "jobs.follow": "JobStatus",
    "jobs.request": "JobSettings",
    "jobs.start": "StartedJob",
    "local.backend": "TrainedHere delete_job_here local_jobs train_here",
    "local.endpoints": "LocalEndpoint delete_here deploy_here",
    "local.job": "LocalJob",
    "notebook": "show",
    "packaging": "Package package",
    "source_dir": "pack_source write_source",
    "unpacking": "unpack_model",
    "uploads": "UploadedCorpus upload",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

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
