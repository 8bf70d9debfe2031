"""Every endpoint of ours: what it runs on, for how long, what it has cost so far, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from charloom.sagemaker.aws import Answer, Aws, arn
from charloom.sagemaker.hosting.resources import is_ours, look, tags_of
from charloom.sagemaker.instances import price_per_hour
from charloom.sagemaker.names import EXPIRES, OWNER, PRICE, from_tag

ANY = "ENDPOINT"
"""In place of a name in a dry run."""


@dataclass(frozen=True)
class EndpointState:
    """An endpoint, as it is now.

    Attributes:
        name: the endpoint's.
        status: in SageMaker's words; "Expired" is one of this machine that has ended by itself.
        instance: its type, "serverless", or "local".
        instances: how many it has now; None for a serverless one.
        created: when.
        age: seconds.
        per_hour: USD at this size; None: unknown.
        so_far: USD, as if it had had this size all the time; None: unknown.
        expires: when it is deleted by itself; None: never.
        expired: whether that time is over.
        owner: who made it.
        reason: why it has failed.
    """

    name: str
    status: str
    instance: str
    instances: int | None
    created: datetime
    age: float
    per_hour: float | None
    so_far: float | None
    expires: datetime | None
    expired: bool
    owner: str
    reason: str


def account_endpoints(aws: Aws, *, now: datetime | None = None) -> list[EndpointState]:
    """Every endpoint of ours in the account's region, the oldest first."""
    now = now or datetime.now(UTC)
    found = [_state(aws, name, tags, now) for name, tags in tagged_endpoints(aws) if is_ours(tags) or aws.dry]
    return sorted((state for state in found if state is not None), key=lambda state: (state.created, state.name))


def tagged_endpoints(aws: Aws) -> Iterator[tuple[str, dict[str, str]]]:
    """Every endpoint's name and tags, of ours and of others."""
    for page in aws.pages("sagemaker", "list_endpoints"):
        for endpoint in page["Endpoints"]:
            yield endpoint["EndpointName"], tags_of(aws, endpoint["EndpointArn"])
    if aws.dry:
        yield ANY, tags_of(aws, arn(aws, "sagemaker", f"endpoint/{ANY.lower()}"))


def _state(aws: Aws, name: str, tags: dict[str, str], now: datetime) -> EndpointState | None:
    """One of them; None where it has gone meanwhile."""
    endpoint = look(aws, "endpoint", name)
    configuration = look(aws, "endpoint_config", ANY if endpoint is None else endpoint["EndpointConfigName"])
    if endpoint is None:
        return None
    instance, count = _size(endpoint, configuration or {})
    one = price_per_hour(instance, aws.region, _given_price(tags))
    per_hour = None if one is None or count is None else one * count
    created = endpoint["CreationTime"].astimezone(UTC)
    age, expires = max(0.0, (now - created).total_seconds()), from_tag(tags.get(EXPIRES))
    return EndpointState(
        name=name,
        status=endpoint["EndpointStatus"],
        instance=instance,
        instances=count,
        created=created,
        age=age,
        per_hour=per_hour,
        so_far=None if per_hour is None else per_hour * age / 3600,
        expires=expires,
        expired=expires is not None and expires <= now,
        owner=tags.get(OWNER, ""),
        reason=endpoint.get("FailureReason", ""),
    )


def _size(endpoint: Answer, configuration: Answer) -> tuple[str, int | None]:
    """What an endpoint runs on, and how many of them."""
    asked: dict[str, Any] = next(iter(configuration.get("ProductionVariants", [])), {})
    running: dict[str, Any] = next(iter(endpoint.get("ProductionVariants", [])), {})
    if "ServerlessConfig" in asked:
        return "serverless", None
    count = running.get("CurrentInstanceCount", asked.get("InitialInstanceCount"))
    return asked.get("InstanceType", "unknown"), count


def _given_price(tags: dict[str, str]) -> float | None:
    try:
        price = float(tags[PRICE])
    except (KeyError, ValueError):
        return None
    return price if 0 < price < 1e9 else None
