"""What charloom made in other regions and profiles, and what has one name here and there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from charloom.errors import CharloomError, CloudError
from charloom.events import Notice, Notify
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import AwsLocation, command, shown_place
from charloom.sagemaker.creations import Creation, Kind, creations
from charloom.sagemaker.hosting.resources import is_ours, look

_MOST = 8  # places that are asked; those used before them are named


def others(asked: AwsLocation | None, reach: Callable[[str, str | None], Aws]) -> Iterator[str]:
    """Sentences about the other places that hold endpoints or running jobs, or could not be asked."""
    places: dict[tuple[str, str | None], Creation] = {}
    for one in creations():
        places.setdefault((one.region, one.profile), one)
    if asked is not None:
        places.pop((asked.region, asked.profile), None)
    for number, place in enumerate(places.values()):
        holds = _contents(reach, place) if number < _MOST else "was used before"
        if holds:
            yield f"{shown_place(place)}: {holds}: {command(place, 'list')}"


def _contents(reach: Callable[[str, str | None], Aws], place: AwsLocation) -> str:
    """What a place holds, in words; "" where it holds nothing."""
    from charloom.sagemaker.hosting.inventory import tagged_endpoints
    from charloom.sagemaker.jobs.inventory import account_jobs

    try:
        aws = reach(place.region, place.profile)
        endpoints = sum(1 for _, tags in tagged_endpoints(aws) if is_ours(tags))
        running = len(account_jobs(aws, ended=False))
    except CharloomError as error:
        return f"was used before, and could not be asked ({error})"
    parts = [f"{count} {what}{'s' * (count > 1)}" for count, what in ((endpoints, "endpoint"), (running, "running job"))
             if count]  # fmt: skip
    return " and ".join(parts)


def endpoint_elsewhere(name: str, aws: Aws | None = None) -> list[str]:
    """Sentences about endpoints of that name in accounts, each with the command that deletes it."""
    found = _ask_state(aws, name)
    there = [] if not found or aws is None else [(aws, f"runs ({found})")]
    return [
        f"an endpoint {name} {what} {shown_place(place)} too, and bills until {command(place, 'delete', name)}"
        for place, what in there + _recorded_places("endpoint", name, aws if found is not None else None)
    ]


def job_elsewhere(name: str, aws: Aws | None = None) -> list[str]:
    """Sentences about training jobs of that name in accounts that run, or may; each with the command that stops it."""
    from charloom.sagemaker.jobs.follow import NO_JOB, training_status

    running = None
    if aws is not None:
        try:
            status = training_status(aws, name, "status")
            running = "" if status.over else f"runs ({status.status})"
        except CloudError as error:
            running = "" if error.code == NO_JOB else None
    there = [(aws, running)] if running and aws is not None else []
    return [
        f"a job {name} {what} {shown_place(place)} too: {command(place, 'stop', name)}"
        for place, what in there + _recorded_places("training", name, aws if running is not None else None)
    ]


def warn_of_twin(name: str, what: Literal["job", "endpoint"], notify: Notify) -> None:
    """Say that commands without a region will act on what this machine has of that name, if it has."""
    try:
        found = _local_twin(name, what)
    except CharloomError:  # a damaged record, or not a valid name: whoever needs it says so
        return
    if found is not None:
        message = f"this machine has {'a' if what == 'job' else 'an'} {what} {name} too: commands without --region or "
        notify(Notice(f"{message}--profile act on that one"))


def _local_twin(name: str, what: Literal["job", "endpoint"]) -> object | None:
    """What this machine has of that name."""
    if what == "job":
        from charloom.sagemaker.local.job import find_job

        return find_job(name)
    from charloom.sagemaker.local.endpoints import find

    return find(name)


def _ask_state(aws: Aws | None, name: str) -> str | None:
    """The state of an account's endpoint; "" where it has none, None where it could not be asked."""
    if aws is None:
        return None
    try:
        found = look(aws, "endpoint", name)
    except CloudError:
        return None
    return "" if found is None else str(found["EndpointStatus"])


def _recorded_places(kind: Kind, name: str, asked: Aws | None) -> list[tuple[AwsLocation, str]]:
    """Where one of that name was made and not deleted, as far as is on record, but for a place that was asked."""
    made = (one for one in creations() if one.kind == kind and one.name == name and one.deleted is None)
    verb = "was made" if kind == "endpoint" else "was started"
    return [(one, verb) for one in made if asked is None or (one.region, one.profile) != (asked.region, asked.profile)]
