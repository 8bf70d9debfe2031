"""Delete endpoints with all their parts, by name or when they have expired, in the order that leaves nothing billing.

The endpoint goes first, for it costs money; while it stays, its parts stay too, since an endpoint whose configuration
vanishes while it is being created hangs for an hour. Its schedule goes last: if all else fails, the endpoint still ends
by itself. An endpoint that ended by itself leaves its model and configuration, which cost nothing but keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from charloom.errors import CloudError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.creations import Creation, creation, made_elsewhere, note_deleted
from charloom.sagemaker.hosting.inventory import tagged_endpoints
from charloom.sagemaker.hosting.resources import (
    WORDS,
    Kind,
    cancel_deletion,
    disable_autoscaling,
    is_ours,
    look,
    remove,
    tags_by_name,
    tags_of,
)
from charloom.sagemaker.hosting.settings import LONGEST_TTL
from charloom.sagemaker.hosting.states import end_endpoint
from charloom.sagemaker.names import EXPIRES, check_name, from_tag

NO_ENDPOINT = "NoEndpoint"
"""The code of the error that says that there is no endpoint of that name, nor anything left of one."""


@dataclass(frozen=True)
class Removal:
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


def remove_resources(aws: Aws, removal: Removal, notify: Notify) -> list[str]:
    """Remove them; what was there, in words. What is gone already is no mistake.

    Raises:
        CloudError: something was refused. If it was the endpoint, all else is still there; else the rest is gone.
    """
    removed: list[str] = []
    if removal.endpoint and end_endpoint(aws, removal.name, notify):
        removed.append(f"endpoint {removal.name}")
    refused: list[CloudError] = []
    for what, remove_it in _rest(aws, removal):
        try:
            if remove_it():
                removed.append(what)
        except CloudError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    return removed


def _rest(aws: Aws, removal: Removal) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What there is beside the endpoint, in order: in words, and how to remove it."""
    if removal.configuration:
        yield f"configuration {removal.configuration}", partial(remove, aws, "endpoint_config", removal.configuration)
    for model in removal.models:
        yield f"model {model}", partial(remove, aws, "model", model)
    if removal.scaling:
        yield "autoscaling", partial(disable_autoscaling, aws, removal.name)
    if removal.schedule:
        yield "schedule", partial(cancel_deletion, aws, removal.name)


def is_expired(tags: dict[str, str], now: datetime | None = None) -> bool:
    """Whether these are the tags of something of ours whose time is over."""
    moment = from_tag(tags.get(EXPIRES))
    return is_ours(tags) and moment is not None and moment <= (now or datetime.now(UTC))


def check_free(aws: Aws, name: str, notify: Notify) -> None:
    """See that a name can be had for an endpoint; what an expired one of ours left under it is removed."""
    if found := look(aws, "endpoint", name):
        being = "is just being deleted: wait a minute, or" if found["EndpointStatus"] == "Deleting" else "exists:"
        raise UsageError(
            f"the endpoint {name} {being} give another --name, or delete it with {command(aws, 'delete', name)}"
        )
    kinds: tuple[Kind, ...] = ("endpoint_config", "model")
    there = {kind: tags for kind in kinds if (tags := tags_by_name(aws, kind, name)) is not None}
    for kind, tags in there.items():
        if not is_expired(tags):
            raise UsageError(
                f"the {WORDS[kind]} {name} exists already: give another --name, "
                f"or delete it with {command(aws, 'delete', name)}"
            )
    if there:
        removed = remove_resources(aws, Removal(name, scaling=True, configuration=name, models=(name,)), notify)
        notify(Notice(f"an endpoint {name} that has expired had left its {' and '.join(removed)}: removed"))


@dataclass(frozen=True)
class Deleted:
    """What was deleted.

    Attributes:
        name: the endpoint's.
        removed: what was there, in words; empty where all was gone already.
        left: what was left because charloom did not make it.
        region: where; "local" is this machine.
        gone: where all was gone already: since when, as far as is known, in words.
    """

    name: str
    removed: tuple[str, ...]
    left: tuple[str, ...] = ()
    region: str = ""
    gone: str = ""


def delete_endpoint(aws: Aws, name: str, *, force: bool = False, notify: Notify = ignore) -> Deleted:
    """Delete an endpoint of an account; see `charloom.sagemaker.delete`."""
    endpoint = look(aws, "endpoint", check_name(name, "endpoint"))
    if endpoint is not None and not is_ours(tags_of(aws, endpoint["EndpointArn"])):
        if not force:
            raise UsageError(f"the endpoint {name} was not made by charloom: --force deletes it all the same")
        configuration = endpoint["EndpointConfigName"]
        removed = _remove_all(aws, Removal(name, endpoint=True), notify)
        return Deleted(name, tuple(removed), (f"configuration {configuration}", "its models"), aws.region)
    removal, left = _belongings(aws, name, endpoint)
    removed = _remove_all(aws, removal, notify)
    if removed or left or aws.dry:
        note_deleted(aws, "endpoint", name)
        return Deleted(name, tuple(removed), tuple(left), aws.region)
    earlier = creation(aws, "endpoint", name)
    if earlier is None:
        raise _no_endpoint(aws, name)
    return Deleted(name, (), region=aws.region, gone=_life(earlier))


def _remove_all(aws: Aws, removal: Removal, notify: Notify) -> list[str]:
    try:
        return remove_resources(aws, removal, notify)
    except KeyboardInterrupt:
        again = command(aws, "delete", removal.name)
        notify(Notice(f"interrupted: the endpoint {removal.name} may still be there, and bill: run {again}"))
        raise


def _life(earlier: Creation) -> str:
    """When something that is gone was deleted, or else made."""
    if earlier.deleted is not None:
        return f"deleted from this machine on {earlier.deleted:%Y-%m-%d at %H:%M} UTC"
    return f"deployed from this machine on {earlier.created:%Y-%m-%d at %H:%M} UTC, and deleted elsewhere since"


def _no_endpoint(aws: Aws, name: str) -> CloudError:
    """The error that names the place, and where there is one of that name on record."""
    advice = made_elsewhere(aws, name, "delete") or f"{command(aws, 'list')} shows what there is"
    return CloudError(f"there is no endpoint {name} {shown_place(aws)}: {advice}", NO_ENDPOINT)


def _belongings(aws: Aws, name: str, endpoint: dict[str, Any] | None) -> tuple[Removal, list[str]]:
    """What belongs to an endpoint, there or gone, and what it uses that is not ours."""
    configuration = name if endpoint is None else str(endpoint["EndpointConfigName"])
    variants = (look(aws, "endpoint_config", configuration) or {}).get("ProductionVariants", [])
    models = [variant["ModelName"] for variant in variants if "ModelName" in variant] or [name]
    foreign_models = [model for model in models if _foreign(aws, "model", model)]
    foreign = _foreign(aws, "endpoint_config", configuration)
    removal = Removal(
        name,
        endpoint=endpoint is not None or aws.dry,
        scaling=True,
        configuration=None if foreign else configuration,
        models=tuple(model for model in models if model not in foreign_models),
        schedule=True,
    )
    return removal, [f"configuration {configuration}"] * foreign + [f"model {model}" for model in foreign_models]


def _foreign(aws: Aws, kind: Kind, name: str) -> bool:
    tags = tags_by_name(aws, kind, name)
    return tags is not None and not is_ours(tags)


def reap_endpoints(aws: Aws, *, notify: Notify = ignore, now: datetime | None = None) -> list[Deleted]:
    """Delete the endpoints of an account whose time is over; see `charloom.sagemaker.reap`."""
    now = now or datetime.now(UTC)
    deleted, failed = [], []
    for name in _expired_names(aws, now):
        try:
            deleted.append(delete_endpoint(aws, name, notify=notify))
        except CloudError as error:
            if error.code == NO_ENDPOINT:  # its schedule was quicker
                continue
            notify(Notice(f"{name} could not be deleted: {error}"))
            failed.append(name)
    if failed:
        raise CloudError(f"{len(failed)} could not be deleted: {', '.join(failed)}", "Reap")
    return deleted


def _expired_names(aws: Aws, now: datetime) -> Iterator[str]:
    """Names of endpoints, and of configurations without one, whose time is over."""
    there: set[str] = set()
    for name, tags in tagged_endpoints(aws):
        there.add(name)
        if aws.dry or is_expired(tags, now):
            yield name
    since = now - timedelta(seconds=2 * LONGEST_TTL)
    for page in aws.pages("sagemaker", "list_endpoint_configs", CreationTimeAfter=since):
        for found in page["EndpointConfigs"]:
            name = found["EndpointConfigName"]
            if name not in there and is_expired(tags_of(aws, found["EndpointConfigArn"]), now):
                yield name
