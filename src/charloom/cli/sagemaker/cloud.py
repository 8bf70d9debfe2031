"""What all commands of `charloom sagemaker` share: the account, the dry run, and how the far side is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import BaseModel, Field
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

from charloom.cli.output import Output
from charloom.cli.progress import LiveView
from charloom.errors import CharloomError, CloudError
from charloom.events import Event, LogLine, Notice, StatusChanged, TransferProgress
from charloom.sagemaker.aws import Aws, DryRun, Request, connect

CLOUD_GROUP = Group("Amazon Web Services", sort_key=90)
_BODY_SHOWN = 2000  # characters of a body that is bytes


@Parameter(name="*", group=CLOUD_GROUP)
class CloudOptions(BaseModel):
    """Where requests go."""

    region: str | None = Field(None, description="The region; else AWS_REGION, or the profile's.")
    profile: str | None = Field(None, description="A profile of the AWS configuration.")
    dry_run: Annotated[bool, Parameter(negative=())] = Field(
        False, description="Show every request as JSON and send none: no credentials, region or network needed."
    )


def reach_account(cloud: CloudOptions, out: Output, *, not_here: str = "", elsewhere: Callable[[], str] = str) -> Aws:
    """The account that the options name, or a dry run that prints each request as JSON.

    Args:
        cloud: the options.
        out: where a dry run prints.
        not_here: what was sought on this machine and not found, if anything was: an account that cannot be reached
            may not be what is wrong.
        elsewhere: gives what is on record of that in any account, or "".
    """
    if cloud.dry_run:
        return DryRun(lambda request: _show(request, out), cloud.region, cloud.profile)
    try:
        return connect(cloud.region, cloud.profile)
    except CloudError as error:
        if not not_here:
            raise
        said = f"{not_here} on this machine, and the account cannot be asked: {error}"
        raise CloudError("; ".join(filter(None, (said, elsewhere()))), error.code) from error


def other_account(cloud: CloudOptions) -> Aws | None:
    """The account that is asked for what has the name of something here; None where none can be reached.

    It is asked in a hurry: this machine's own things do not wait for a network.
    """
    try:
        return connect(cloud.region, cloud.profile, hurry=True)
    except CharloomError:
        return None


def _show(request: Request, out: Output) -> None:
    operation = "".join(part.title() for part in request.operation.split("_"))
    shown = {"service": request.service, "operation": operation, "request": _plain(dict(request.request))}
    if out.json:
        out.result(shown)
    else:
        out.text(json.dumps(shown, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return value[:_BODY_SHOWN].decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class CloudView(LiveView):
    """Renders what happens far away. Use as a context manager; call it with each event."""

    def __init__(self, output: Output) -> None:
        """Show to `output`'s stderr."""
        name = TextColumn("{task.description}", markup=False)
        super().__init__(output, name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._began = time.monotonic()
        self._transfer: tuple[str, Any] | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Notice():
                self._output.note(event)
            case LogLine():
                self._output.say(event.message)
            case StatusChanged():
                detail = f": {event.detail}" if event.detail else ""
                self._output.say(f"{time.monotonic() - self._began:5.0f} s  {event.name} {event.status}{detail}")
            case TransferProgress():
                self._moving(event)

    def _moving(self, event: TransferProgress) -> None:
        if self._transfer is None or self._transfer[0] != event.name:
            self._transfer = (event.name, self._bar.add_task(event.name, total=event.total))
        self._bar.update(self._transfer[1], completed=event.done)
        if event.done >= event.total:
            self._output.say(f"{event.name}: {event.total / 1e6:,.1f} MB transferred")
            self._bar.remove_task(self._transfer[1])
            self._transfer = None
