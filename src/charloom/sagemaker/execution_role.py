"""The role that this program itself runs under: in a notebook of SageMaker's, jobs may run under the same."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.container.paths import base_folder

_METADATA = "metadata/resource-metadata.json"  # below /opt/ml: what Studio and notebook instances say of themselves
_LARGEST = 1 << 20  # bytes of that file
_SESSION = re.compile(r"(arn:[\w-]+):sts::(\d+):assumed-role/([^/]+)/.+")
_TRUSTED = "sagemaker.amazonaws.com"


def execution_role(aws: Aws) -> str | None:
    """The full name of the role of this notebook, or of this session, if SageMaker may assume it; else None.

    A dry run sends no request, so it knows only what Studio wrote into a file.
    """
    notebook = _notebook()
    if notebook is not None and isinstance(named := notebook.get("ExecutionRoleArn"), str):
        return named
    if aws.dry:
        return None
    try:
        session = _SESSION.fullmatch(aws.caller)
    except CloudError:  # whoever needs the account next says why
        return None
    return None if session is None else _role_of(aws, *session.groups(), in_notebook=notebook is not None)


def _role_of(aws: Aws, partition: str, account: str, name: str, *, in_notebook: bool) -> str | None:
    """A session's name lacks the path of its role: IAM knows it, and SageMaker's console always makes the same."""
    try:
        role = aws.call("iam", "get_role", RoleName=name)["Role"]
    except CloudError:
        path = "service-role/" if name.startswith("AmazonSageMaker-ExecutionRole") else ""
        return f"{partition}:iam::{account}:role/{path}{name}" if in_notebook else None
    trusts = _TRUSTED in json.dumps(role["AssumeRolePolicyDocument"])
    return str(role["Arn"]) if trusts else None


def _notebook() -> dict[str, Any] | None:
    """What SageMaker says of the notebook that this runs in; None where it is none of SageMaker's."""
    try:
        with Path(base_folder(os.environ), _METADATA).open("rb") as file:
            data = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
