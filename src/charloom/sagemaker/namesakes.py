"""One name in two places: what in an account is called as something of this machine is."""

from __future__ import annotations

from charloom.errors import CloudError
from charloom.sagemaker import jobs, resources
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import Place, command, shown_place
from charloom.sagemaker.creations import Kind, creations


def endpoint_elsewhere(name: str, aws: Aws | None = None) -> list[str]:
    """Sentences about endpoints of that name in accounts, each with the command that deletes it.

    Args:
        name: the endpoint's.
        aws: an account to ask; what is on record is said without asking.
    """
    found = _asked(aws, name)
    there = [] if not found or aws is None else [(aws, f"runs ({found})")]
    return [
        f"an endpoint {name} {what} {shown_place(place)} too, and bills until {command(place, 'delete', name)}"
        for place, what in there + _recorded("endpoint", name, aws if found is not None else None)
    ]


def job_elsewhere(name: str, aws: Aws | None = None) -> list[str]:
    """Sentences about training jobs of that name in accounts that run, or may; each with the command that stops it."""
    running = None
    if aws is not None:
        try:
            status = jobs.status(aws, name)
            running = "" if status.over else f"runs ({status.status})"
        except CloudError as error:
            running = "" if error.code == jobs.NO_JOB else None
    there = [(aws, running)] if running and aws is not None else []
    return [
        f"a job {name} {what} {shown_place(place)} too: {command(place, 'stop', name)}"
        for place, what in there + _recorded("training", name, aws if running is not None else None)
    ]


def _asked(aws: Aws | None, name: str) -> str | None:
    """The state of an account's endpoint; "" where it has none, None where it could not be asked."""
    if aws is None:
        return None
    try:
        found = resources.look(aws, "endpoint", name)
    except CloudError:
        return None
    return "" if found is None else str(found["EndpointStatus"])


def _recorded(kind: Kind, name: str, asked: Aws | None) -> list[tuple[Place, str]]:
    """Where one of that name was made and not deleted, as far as is on record, but for a place that was asked."""
    made = (one for one in creations() if one.kind == kind and one.name == name and one.deleted is None)
    verb = "was made" if kind == "endpoint" else "was started"
    return [(one, verb) for one in made if asked is None or (one.region, one.profile) != (asked.region, asked.profile)]
