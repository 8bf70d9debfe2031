"""A name that is taken in an account while something of this machine has it already."""

from __future__ import annotations

from typing import Literal

from charloom.errors import CharloomError
from charloom.events import Notice, Notify
from charloom.sagemaker.local import endpoints, job


def notice_twin(name: str, what: Literal["job", "endpoint"], notify: Notify) -> None:
    """Say that commands without a region will act on what this machine has of that name, if it has."""
    try:
        found = job.find_job(name) if what == "job" else endpoints.find(name)
    except CharloomError:  # a damaged record, or not a valid name: whoever needs it says so
        return
    if found is not None:
        notify(
            Notice(f"this machine has {'a' if what == 'job' else 'an'} {what} {name} too: commands without --region or "
                   "--profile act on that one")
        )  # fmt: skip
