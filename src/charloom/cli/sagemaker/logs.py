"""`charloom sagemaker logs`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import reach_account
from charloom.cli.sagemaker.places import PlaceOptions, acts_here
from charloom.sagemaker.cloudwatch import WrittenLine, follow_log
from charloom.sagemaker.cloudwatch import logs as written
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.jobs_here import logs_here, writes_here


def logs(
    name: str,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    last: Annotated[int | None, Field(ge=1, le=1_000_000)] = None,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Show what a job or an endpoint has written: the lines of all its machines, in their order.

    What is on this machine comes first. A training job comes before a transform job, and that before an endpoint.

    Parameters
    ----------
    name
        The job's or the endpoint's name.
    follow
        Show new lines until the job ends, or until the endpoint is deleted.
    last
        Only so many lines of the end.
    """
    out = Output(options)
    if acts_here(place, f"job or endpoint {name}", there_is=writes_here(name)):
        out.say(f"(the log of {name} on this machine)", style="dim")
        if place.dry_run:
            return
        logs_here(name, lambda line: _show(out, None, line), last=last, follow=follow)
        return
    aws = reach_account(
        place, out, not_here=f"there is no job or endpoint {name}", elsewhere=lambda: made_elsewhere(None, name, "logs")
    )
    for line in (follow_log if follow else written)(aws, name, last=last):
        _show(out, line, line.message)


def _show(out: Output, line: WrittenLine | None, message: str) -> None:
    if not out.json:
        host = "" if line is None else f"{line.time:%Y-%m-%d %H:%M:%S} {line.host}  "
        out.text(f"{host}{message}")
        return
    found = {} if line is None else {"time": line.time.isoformat(), "host": line.host}
    out.result({**found, "message": message})
