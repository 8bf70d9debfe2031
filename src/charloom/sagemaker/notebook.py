"""For notebooks: the role that the notebook runs under, and a view of what happens, to pass as `notify`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from charloom.errors import CloudError
from charloom.events import (
    Evaluated,
    Event,
    LogLine,
    ModelSaved,
    Notice,
    StatusChanged,
    TrainingStarted,
    TransferProgress,
)
from charloom.report import evaluated_parts, started_parts
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.container.report import say
from charloom.sagemaker.container.training import base_folder


def show(event: Event) -> None:
    """Write an event on stdout, as a line for people: prices, states, log lines, losses.

        charloom.sagemaker.train(aws, "your-text.txt", notify=charloom.sagemaker.show)

    Args:
        event: what has happened; steps between two measurements are left out.
    """
    for line in _lines(event):
        say(line)


def _lines(event: Event) -> list[str]:
    match event:
        case Notice():
            return [f"note: {event.message}"]
        case LogLine():
            return [event.message]
        case StatusChanged():
            return [f"{event.name} {event.status}" + (f": {event.detail}" if event.detail else "")]
        case TransferProgress() if event.done >= event.total:
            return [f"{event.name}: {event.total / 1e6:,.1f} MB transferred"]
        case TrainingStarted():
            return [_join_parts(parts) for parts in started_parts(event)]
        case Evaluated():
            return [_join_parts(evaluated_parts(event))]
        case ModelSaved():
            return [f"saved {event.path}"]
        case _:
            return []


def _join_parts(parts: list[tuple[int, str]]) -> str:
    return " · ".join(text for _, text in parts)


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
        session = _SESSION.fullmatch(str(aws.call("sts", "get_caller_identity").get("Arn")))
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
