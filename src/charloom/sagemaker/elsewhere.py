"""What is in the other regions and profiles that charloom was used with on this machine, and may bill there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from charloom.errors import CharloomError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import Place, command, shown_place
from charloom.sagemaker.creations import Creation, creations
from charloom.sagemaker.inventory import tagged_endpoints
from charloom.sagemaker.job_inventory import list_jobs
from charloom.sagemaker.resources import ours

_MOST = 8  # places that are asked; those used before them are named


def others(asked: Place | None, reach: Callable[[str, str | None], Aws]) -> Iterator[str]:
    """Sentences about the other places that hold endpoints or running jobs, or could not be asked.

    Args:
        asked: the place that needs no mention.
        reach: gives the account of a region and profile.
    """
    places: dict[tuple[str, str | None], Creation] = {}
    for one in creations():
        places.setdefault((one.region, one.profile), one)
    if asked is not None:
        places.pop((asked.region, asked.profile), None)
    for number, place in enumerate(places.values()):
        holds = _held(reach, place) if number < _MOST else "was used before"
        if holds:
            yield f"{shown_place(place)}: {holds}: {command(place, 'list')}"


def _held(reach: Callable[[str, str | None], Aws], place: Place) -> str:
    """What a place holds, in words; "" where it holds nothing."""
    try:
        aws = reach(place.region, place.profile)
        endpoints = sum(1 for _, tags in tagged_endpoints(aws) if ours(tags))
        running = len(list_jobs(aws, ended=False))
    except CharloomError as error:
        return f"was used before, and could not be asked ({error})"
    parts = [f"{count} {what}{'s' * (count > 1)}" for count, what in ((endpoints, "endpoint"), (running, "running job"))
             if count]  # fmt: skip
    return " and ".join(parts)
