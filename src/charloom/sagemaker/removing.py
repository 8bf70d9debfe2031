"""An endpoint with all that belongs to it, removed in the order that leaves nothing billing.

The endpoint goes first, for it costs money; while it stays, what it is made of stays too, since an endpoint whose
configuration vanishes while it is being created hangs for an hour. Its schedule goes last: if all else fails, the
endpoint still ends by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from charloom.events import Notify
from charloom.sagemaker.autoscaling import stop_growing
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.endpoint_states import end_endpoint
from charloom.sagemaker.expiry import cancel_deletion
from charloom.sagemaker.resources import remove


@dataclass(frozen=True)
class Parts:
    """What is to be removed.

    Attributes:
        name: the endpoint's, whose schedule and scaling have their names from it.
        endpoint: whether to delete it.
        scaling: whether it may grow.
        configuration: its name, or None to leave it.
        models: their names.
        schedule: whether a deletion may be scheduled.
    """

    name: str
    endpoint: bool = False
    scaling: bool = False
    configuration: str | None = None
    models: tuple[str, ...] = ()
    schedule: bool = False


def remove_parts(aws: Aws, parts: Parts, notify: Notify) -> list[str]:
    """Remove them; what was there, in words. What is gone already is no mistake.

    Raises:
        CloudError: something was refused; what comes after it in the order is still there.
    """
    removed: list[str] = []
    if parts.scaling and stop_growing(aws, parts.name):
        removed.append("autoscaling")
    if parts.endpoint and end_endpoint(aws, parts.name, notify):
        removed.append(f"endpoint {parts.name}")
    if parts.configuration and remove(aws, "endpoint_config", parts.configuration):
        removed.append(f"configuration {parts.configuration}")
    removed += [f"model {model}" for model in parts.models if remove(aws, "model", model)]
    if parts.schedule and cancel_deletion(aws, parts.name):
        removed.append("schedule")
    return removed
