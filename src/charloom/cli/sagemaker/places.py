"""Where a command acts that could act on this machine or in an account."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.sagemaker.cloud import CLOUD_GROUP, CloudOptions
from charloom.errors import CharloomError, UsageError
from charloom.sagemaker.aws import Aws, connect
from charloom.sagemaker.commands import HERE, command


@Parameter(name="*", group=CLOUD_GROUP)
class PlaceOptions(CloudOptions):
    """This machine, or where requests go."""

    here: Annotated[bool, Parameter(negative=())] = Field(
        False, description="On this machine only. Without it, --region or --profile, what is here comes first."
    )


def acts_here(place: PlaceOptions, what: str, *, there_is: bool) -> bool:
    """Whether a command acts on this machine: as the options say, or because what it is about is here.

    Args:
        place: the options.
        what: what it is about, such as "endpoint mine".
        there_is: whether this machine has it.

    Raises:
        UsageError: the options contradict each other.
        CharloomError: only this machine is meant, and there is none.
    """
    in_account = place.region is not None or place.profile is not None
    if not place.here:
        return there_is and not in_account
    if in_account:
        raise UsageError("--here is this machine, --region and --profile are an account: leave one out")
    if not there_is:
        raise CharloomError(f"there is no {what} on this machine: {command(HERE, 'list')} shows what there is")
    return True


def other_account(cloud: CloudOptions) -> Aws | None:
    """The account that is asked for what has the name of something here; None where none can be reached.

    It is asked in a hurry: this machine's own things do not wait for a network.
    """
    try:
        return connect(cloud.region, cloud.profile, hurry=True)
    except CharloomError:
        return None
