"""The commands that messages advise to run: complete, quoted for a shell, and for the account they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from charloom.display import typed
from charloom.sagemaker.aws import UNKNOWN_REGION

HERE: Literal["here"] = "here"
"""This machine, as the place where a command acts."""

_SHORT = {"output": "-o"}


class AwsLocation(Protocol):
    """A region of an account: an `Aws`, or the record of something made there."""

    @property
    def region(self) -> str:
        """Such as us-east-1."""

    @property
    def profile(self) -> str | None:
        """The profile of the AWS configuration that leads there, if one does."""


Where = AwsLocation | Literal["here"]


def command(where: Where | None, name: str, *words: str | Path, **options: str | Path | bool) -> str:
    """A command of `charloom sagemaker`, as one would type it in any shell.

    Args:
        where: the account, whose region and profile are named, for the shell may have another default; `HERE` for
            this machine; None for a command that asks for neither.
        name: the command's, such as delete.
        *words: its arguments.
        **options: its options; True means one without a value, and `async_` for --async.
    """
    parts: list[str | Path] = ["charloom", "sagemaker", name, *words]
    for option, value in options.items():
        flag = _SHORT.get(option, f"--{option.rstrip('_').replace('_', '-')}")
        if value is not False:
            parts += [flag] if value is True else [flag, value]
    return typed(*parts, *_place(where))


def shown_place(where: Where) -> str:
    """A place in words: "on this machine", or "in us-east-1 (profile work)"."""
    if isinstance(where, str):
        return "on this machine"
    return f"in {where.region}" + (f" (profile {where.profile})" if where.profile else "")


def _place(where: Where | None) -> list[str]:
    if where is None:
        return []
    if isinstance(where, str):
        return ["--here"]
    region = [] if where.region == UNKNOWN_REGION else ["--region", where.region]
    return region + (["--profile", where.profile] if where.profile else [])
