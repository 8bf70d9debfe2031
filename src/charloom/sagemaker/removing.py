"""An endpoint with all that belongs to it, removed in the order that leaves nothing billing.

The endpoint goes first, for it costs money; while it stays, what it is made of stays too, since an endpoint whose
configuration vanishes while it is being created hangs for an hour. Its schedule goes last: if all else fails, the
endpoint still ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from charloom.errors import CloudError
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
        CloudError: something was refused. If it was the endpoint, all else is still there; else the rest is gone.
    """
    removed: list[str] = []
    if parts.endpoint and end_endpoint(aws, parts.name, notify):
        removed.append(f"endpoint {parts.name}")
    refused: list[CloudError] = []
    for what, remove_it in _rest(aws, parts):
        try:
            if remove_it():
                removed.append(what)
        except CloudError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    return removed


def _rest(aws: Aws, parts: Parts) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What there is beside the endpoint, in order: in words, and how to remove it."""
    if parts.configuration:
        yield f"configuration {parts.configuration}", partial(remove, aws, "endpoint_config", parts.configuration)
    for model in parts.models:
        yield f"model {model}", partial(remove, aws, "model", model)
    if parts.scaling:
        yield "autoscaling", partial(stop_growing, aws, parts.name)
    if parts.schedule:
        yield "schedule", partial(cancel_deletion, aws, parts.name)
