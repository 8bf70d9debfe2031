"""`charloom sagemaker status`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend, note_elsewhere
from charloom.cli.sagemaker.job_views import job_data, job_text
from charloom.sagemaker.other_regions import job_elsewhere


def status(
    name: str,
    *,
    price: Annotated[float | None, Field(ge=0, le=10_000)] = None,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Say how a job is doing, started now or long ago: state, time, price so far, last losses, why it failed.

    A job of this machine comes first, else a training job of the account, else a transform job.

    Parameters
    ----------
    name
        The job's name.
    price
        USD an hour of one machine, if you know better than charloom's table.
    """
    out = Output(options)
    backend = find_backend(place, out, "job", name, "status", would="be shown")
    if backend is None:
        return
    note_elsewhere(out, place, backend, job_elsewhere(name))
    found = backend.status(name, price=price)
    if backend.dry:
        return
    if out.json:
        out.result(job_data(found) | {"region": backend.region})
    else:
        out.text(job_text(found, backend.region))
