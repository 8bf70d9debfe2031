"""What an endpoint that ended by itself leaves: its model and configuration, which cost nothing but hold their name."""

from __future__ import annotations

from datetime import UTC, datetime

from charloom.errors import UsageError
from charloom.events import Notice, Notify
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command
from charloom.sagemaker.expiry import from_tag
from charloom.sagemaker.names import EXPIRES
from charloom.sagemaker.removing import Parts, remove_parts
from charloom.sagemaker.resources import WORDS, Kind, look, ours, tags_by_name


def expired(tags: dict[str, str], now: datetime | None = None) -> bool:
    """Whether these are the tags of something of ours whose time is over."""
    moment = from_tag(tags.get(EXPIRES))
    return ours(tags) and moment is not None and moment <= (now or datetime.now(UTC))


def check_free(aws: Aws, name: str, notify: Notify) -> None:
    """See that a name can be had for an endpoint; what an expired one of ours left under it is removed.

    Raises:
        UsageError: it is taken.
        CloudError: Amazon may not be asked.
    """
    if found := look(aws, "endpoint", name):
        being = "is just being deleted: wait a minute, or" if found["EndpointStatus"] == "Deleting" else "exists:"
        raise UsageError(
            f"the endpoint {name} {being} give another --name, or delete it with {command(aws, 'delete', name)}"
        )
    kinds: tuple[Kind, ...] = ("endpoint_config", "model")
    there = {kind: tags for kind in kinds if (tags := tags_by_name(aws, kind, name)) is not None}
    for kind, tags in there.items():
        if not expired(tags):
            raise UsageError(
                f"the {WORDS[kind]} {name} exists already: give another --name, "
                f"or delete it with {command(aws, 'delete', name)}"
            )
    if there:
        removed = remove_parts(aws, Parts(name, scaling=True, configuration=name, models=(name,)), notify)
        notify(Notice(f"an endpoint {name} that has expired had left its {' and '.join(removed)}: removed"))
