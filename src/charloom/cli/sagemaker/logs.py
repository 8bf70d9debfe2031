"""`charloom sagemaker logs`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, reached
from charloom.sagemaker.cloudwatch import WrittenLine, followed
from charloom.sagemaker.cloudwatch import logs as written
from charloom.sagemaker.jobs_here import logs_here, writes_here


def logs(
    name: str,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative=())] = False,
    last: Annotated[int | None, Field(ge=1, le=1_000_000)] = None,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Show what a job or an endpoint has written: the lines of all its machines, in their order.

    A training job of that name comes first, then a transform job, then an endpoint.

    Parameters
    ----------
    name
        The job's or the endpoint's name.
    follow
        Go on until the job ends (an endpoint: until Ctrl-C).
    last
        Only so many lines of the end.
    """
    out = Output(options)
    if writes_here(name):
        logs_here(name, lambda line: _show(out, None, line), last=last, follow=follow)
        return
    aws = reached(cloud, out, not_here=f"there is no log of {name}")
    for line in (followed if follow else written)(aws, name, last=last):
        _show(out, line, line.message)


def _show(out: Output, line: WrittenLine | None, message: str) -> None:
    if not out.json:
        host = "" if line is None else f"{line.time:%Y-%m-%d %H:%M:%S} {line.host}  "
        out.text(f"{host}{message}")
        return
    found = {} if line is None else {"time": line.time.isoformat(), "host": line.host}
    out.result({**found, "message": message})
