"""`charloom sagemaker logs`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend


def logs(
    name: str,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    last: Annotated[int | None, Field(ge=1, le=1_000_000)] = None,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
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
    backend = find_backend(place, out, "job or endpoint", name, "logs", would="be shown")
    if backend is None:
        return
    if backend.aws is None:
        out.say(f"(the log of {name} on this machine)", style="dim")
    for line in backend.log(name, last=last, follow=follow):
        if out.json:
            origin = {} if line.time is None else {"time": line.time.isoformat(), "host": line.host}
            out.result({**origin, "message": line.message})
        else:
            head = "" if line.time is None else f"{line.time:%Y-%m-%d %H:%M:%S} {line.host}  "
            out.text(f"{head}{line.message}")
