"""Amazon SageMaker, a step at a time: upload, train, attach, package, deploy, invoke, transform, delete.

Each step is a function here and a command of `charloom sagemaker`; each takes the account to work in as `aws`
(`connect()`, or `DryRun` to see the requests without sending any). Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charloom.sagemaker.account import Account, connect
    from charloom.sagemaker.aws import Aws, DryRun
    from charloom.sagemaker.image import ServingImage, build_image, serving_image
    from charloom.sagemaker.packaging import Package, package
    from charloom.sagemaker.unpacking import unpack_model

_HOMES = {
    "Account": "account",
    "Aws": "aws",
    "DryRun": "aws",
    "Package": "packaging",
    "ServingImage": "image",
    "build_image": "image",
    "connect": "account",
    "package": "packaging",
    "serving_image": "image",
    "unpack_model": "unpacking",
}

__all__ = [
    "Account",
    "Aws",
    "DryRun",
    "Package",
    "ServingImage",
    "build_image",
    "connect",
    "package",
    "serving_image",
    "unpack_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'charloom.sagemaker' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"charloom.sagemaker.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
