"""Endpoints that end by themselves: one call of DeleteEndpoint, scheduled before the endpoint is created.

EventBridge Scheduler makes the call with a role of its own and then removes the schedule: there is no function to
maintain. What does not bill, the model and the configuration, stays until `delete` or `reap`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from charloom.errors import CloudError
from charloom.sagemaker.account import named_role
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.names import partition

SCHEDULER_ROLE = "CHARLOOM_SCHEDULER_ROLE"
"""The role that deletes endpoints, where no option names one."""

_GROUP = "default"
_NAME_LIMIT = 64
_RETRIES, _RETRIED_FOR = 185, 86_400  # an endpoint that is being updated cannot be deleted just then


def expires_at(seconds: float, now: datetime | None = None) -> datetime:
    """The moment, in UTC and whole seconds, that lies so many seconds ahead."""
    return ((now or datetime.now(UTC)).astimezone(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def as_tag(moment: datetime) -> str:
    """A moment as it stands in a tag: 2026-11-25T10:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_tag(text: str | None) -> datetime | None:
    """The moment that a tag names, or None where it names none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def schedule_name(endpoint: str) -> str:
    """The name of an endpoint's schedule: every endpoint has one of its own, and policies can name them all."""
    name = f"charloom-{endpoint}"
    if len(name) <= _NAME_LIMIT:
        return name
    mark = hashlib.sha256(endpoint.encode()).hexdigest()[:12]
    return f"{name[: _NAME_LIMIT - len(mark) - 1]}-{mark}"


def schedule_request(endpoint: str, moment: datetime, role: str, region: str) -> dict[str, Any]:
    """CreateSchedule: DeleteEndpoint, once, at a moment; the schedule then removes itself."""
    return {
        "Name": schedule_name(endpoint),
        "GroupName": _GROUP,
        "Description": f"charloom: deletes the endpoint {endpoint}, whose time is over",
        "ScheduleExpression": f"at({moment.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": f"arn:{partition(region)}:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
            "RoleArn": role,
            "Input": json.dumps({"EndpointName": endpoint}),
            "RetryPolicy": {"MaximumRetryAttempts": _RETRIES, "MaximumEventAgeInSeconds": _RETRIED_FOR},
        },
    }


def scheduler_role_arn(aws: Aws, role: str | None) -> str:
    """The full name of the role that deletes endpoints when their time is over.

    Args:
        aws: the account.
        role: its name or full name; CHARLOOM_SCHEDULER_ROLE in the environment if none is given.

    Raises:
        UsageError: none is given anywhere, and it is not a dry run.
    """
    needed = (
        "--ttl needs a role that EventBridge Scheduler may take on to delete the endpoint: --scheduler-role NAME, "
        f"or {SCHEDULER_ROLE}; see docs/how-to/deploy-on-sagemaker.md"
    )
    return named_role(aws, role, SCHEDULER_ROLE, needed)


def schedule_deletion(aws: Aws, endpoint: str, moment: datetime, role: str) -> None:
    """Have an endpoint deleted at a moment.

    Raises:
        CloudError: it was refused.
    """
    aws.call("scheduler", "create_schedule", **schedule_request(endpoint, moment, role, aws.region))


def cancel_deletion(aws: Aws, endpoint: str) -> bool:
    """Remove an endpoint's schedule; whether there was one.

    Raises:
        CloudError: it was refused.
    """
    try:
        aws.call("scheduler", "delete_schedule", Name=schedule_name(endpoint), GroupName=_GROUP)
    except CloudError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return False
    return True
