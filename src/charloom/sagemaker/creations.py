"""What charloom has made in which region, by which profile: a log in the user's state folder, a line an event.

It is an aid: it finds what was forgotten in another region, and separates what was deleted from what never existed. It
holds names, regions, profiles and times, nothing else; what cannot be read or written in it is passed over.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import AwsLocation, command, shown_place
from charloom.sagemaker.local.records import home

Kind = Literal["endpoint", "training", "transform"]

_COMMANDS: dict[Kind, tuple[str, ...]] = {
    "training": ("status", "stop", "attach", "logs"),
    "transform": ("status", "stop", "logs"),
    "endpoint": ("delete", "invoke", "logs"),
}  # that take the name of such a thing
_FILE = "account.jsonl"
_MOST_READ = 1 << 20  # bytes of its end: about seven thousand events


class _Event(BaseModel):
    event: Literal["created", "deleted"]
    kind: Kind
    name: str
    region: str
    profile: str | None = None
    at: datetime


@dataclass(frozen=True)
class Creation:
    """Something that charloom made in an account, from this machine.

    Attributes:
        kind: what it is.
        name: what it is called.
        region: where.
        profile: the profile of the AWS configuration that was used, if one was.
        created: when; None where that is not on record.
        deleted: when it was deleted from this machine; None where it was not.
    """

    kind: Kind
    name: str
    region: str
    profile: str | None
    created: datetime | None
    deleted: datetime | None


def note_created(aws: Aws, kind: Kind, name: str) -> None:
    """Keep that something is about to be made; nothing in a dry run."""
    _note(aws, "created", kind, name)


def note_deleted(aws: Aws, kind: Kind, name: str) -> None:
    """Keep that something has been deleted; nothing in a dry run."""
    _note(aws, "deleted", kind, name)


def creations() -> list[Creation]:
    """What is on record, the newest first; of each name in each place its last life."""
    found: dict[tuple[Kind, str, str, str | None], Creation] = {}
    for event in _events():
        key = (event.kind, event.name, event.region, event.profile)
        last = found.pop(key, None)
        made = event.at if event.event == "created" else None if last is None else last.created
        found[key] = Creation(*key, made, event.at if event.event == "deleted" else None)
    return list(found.values())[::-1]


def creation(place: AwsLocation, kind: Kind, name: str) -> Creation | None:
    """What is on record of a name in a place."""
    key = (kind, name, place.region, place.profile)
    return next((one for one in creations() if (one.kind, one.name, one.region, one.profile) == key), None)


def made_elsewhere(place: AwsLocation | None, name: str, verb: str, **options: Path) -> str:
    """Where something of that name was made in another place, as far as is on record, and what to run there.

    Args:
        place: the one that has nothing of that name; None where none could be asked.
        name: what was sought.
        verb: the command that sought it, such as stop. Where that is not for what was made, `list` is advised.
        **options: what that command needs.

    Returns:
        Words such as "a job of that name was started in us-west-2: COMMAND"; "" where nothing is on record.
    """
    kinds: list[Kind] = ["endpoint"] if verb in ("delete", "invoke") else list(_COMMANDS)
    asked = None if place is None else (place.region, place.profile)
    found = [
        one
        for one in creations()
        if one.name == name and one.kind in kinds and one.deleted is None and (one.region, one.profile) != asked
    ]
    if not found:
        return ""
    there = min(found, key=lambda one: kinds.index(one.kind))  # the newest of the first kind
    what = "an endpoint of that name was made" if there.kind == "endpoint" else "a job of that name was started"
    fits = verb in _COMMANDS[there.kind]
    return f"{what} {shown_place(there)}: {command(there, verb, name, **options) if fits else command(there, 'list')}"


def _note(aws: Aws, what: Literal["created", "deleted"], kind: Kind, name: str) -> None:
    if aws.dry:
        return
    event = _Event(event=what, kind=kind, name=name, region=aws.region, profile=aws.profile, at=datetime.now(UTC))
    with contextlib.suppress(OSError):
        home().mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, event.model_dump_json(exclude_none=True).encode() + b"\n")  # one write: whole lines
        finally:
            os.close(descriptor)


def _events() -> list[_Event]:
    try:
        with _path().open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MOST_READ))
            lines = file.read(_MOST_READ).split(b"\n")
    except OSError:
        return []
    events = []
    for line in lines:
        with contextlib.suppress(ValidationError):
            events.append(_Event.model_validate_json(line))
    return events


def _path() -> Path:
    return home() / _FILE
