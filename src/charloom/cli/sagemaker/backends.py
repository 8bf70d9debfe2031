"""The back end on which a command acts: this machine or an account."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.output import Output
from charloom.cli.sagemaker.cloud import CLOUD_GROUP, CloudOptions, reach_account
from charloom.errors import CharloomError, UsageError
from charloom.events import Notice
from charloom.sagemaker.amazon import Amazon
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.local.backend import Local

if TYPE_CHECKING:
    from charloom.sagemaker.backend import Backend

What = Literal["job", "endpoint", "job or endpoint"]


@Parameter(name="*", group=CLOUD_GROUP)
class BackendOptions(CloudOptions):
    """This machine, or where requests go."""

    here: Annotated[bool, Parameter(negative=())] = Field(
        False, description="On this machine only. Without it, --region or --profile, what is here comes first."
    )


def find_backend(
    place: BackendOptions, out: Output, what: What, name: str, verb: str, *, would: str, **options: Path
) -> Backend | None:
    """The back end that a command acts on: this machine, as the options say or because it has that name; or an account.

    Args:
        place: the options.
        out: where a dry run is shown.
        what: what is meant by the name.
        name: what the command is about.
        verb: the command, with its `options`: it is advised where something of that name was made elsewhere.
        would: what a dry run would do on this machine, such as "be stopped".
        **options: of that command.

    Returns:
        None: it was a dry run on this machine.
    """
    here = Local()
    is_here = (what != "endpoint" and here.has_job(name)) or (what != "job" and here.has_endpoint(name))
    if what == "job" and not is_here and acts_here(place, f"job {name}", is_here=here.has_endpoint(name)):
        advice = f"{command(HERE, 'list')} shows what there is, --region chooses an account"
        raise CharloomError(f"{name} is an endpoint of this machine, not a job: {advice}")
    if acts_here(place, f"{what} {name}", is_here=is_here):
        if not place.dry_run:
            return here
        out.say(f"on this machine: the {what} {name} would {would}; no request would be sent")
        return None
    elsewhere = partial(made_elsewhere, None, name, verb, **options)
    return Amazon(reach_account(place, out, not_here=f"there is no {what} {name}", elsewhere=elsewhere))


def acts_here(place: BackendOptions, what: str, *, is_here: bool) -> bool:
    """Whether a command acts on this machine, which has what the command is about or not; raises as `find_backend`."""
    in_account = place.region is not None or place.profile is not None
    if not place.here:
        return is_here and not in_account
    if in_account:
        raise UsageError("--here is this machine, --region and --profile are an account: leave one out")
    if not is_here:
        raise CharloomError(f"there is no {what} on this machine: {command(HERE, 'list')} shows what there is")
    return True


def note_elsewhere(out: Output, place: BackendOptions, backend: Backend, sentences: Iterable[str]) -> None:
    """Say what of the same name is on record in accounts, where a command acts on this machine and was not made to."""
    if backend.aws is None and not place.here:
        for sentence in sentences:
            out.note(Notice(sentence))
