"""`charloom sagemaker list`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions
from charloom.cli.sagemaker.cloud import reach_account
from charloom.cli.sagemaker.job_views import job_data
from charloom.errors import CloudError
from charloom.sagemaker.amazon import Amazon
from charloom.sagemaker.aws import NO_REGION, Aws, connect
from charloom.sagemaker.batch_transform import TransformStatus
from charloom.sagemaker.commands import HERE, command, shown_place
from charloom.sagemaker.hosting.inventory import EndpointState
from charloom.sagemaker.instances import LOCAL, shown_price
from charloom.sagemaker.jobs.follow import JobStatus
from charloom.sagemaker.local.backend import Local
from charloom.sagemaker.names import as_tag
from charloom.sagemaker.other_regions import others

Job = JobStatus | TransformStatus

_ENDPOINTS = ("NAME", "STATUS", "RUNS ON", "AGE", "SO FAR", "EXPIRES", "OWNER")
_JOBS = ("JOB", "STATUS", "RUNS ON", "AGE", "SO FAR")


def list_endpoints(
    *,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Every endpoint and job of ours in the region, and on this machine: age, price so far, expiry.

    The price is that of the size it has now for the time it has existed; what is not in the table is unknown. Of jobs
    that have ended the newest are shown. Other regions and profiles that were used from here are looked into as well.
    """
    out = Output(options)
    here = Local()
    states, jobs = ([], []) if place.dry_run else (here.endpoints(), here.jobs())
    aws: Aws | None = None
    try:
        if not place.here:
            aws = reach_account(place, out)
            states += Amazon(aws).endpoints()
            jobs += Amazon(aws).jobs()
            if aws.dry:
                return
    except CloudError as error:  # what is on this machine is seen all the same
        _show(out, states, jobs, aws)
        _tell_others(out, aws)
        if error.code != NO_REGION:
            raise
        raise CloudError(f"{error}; or --here, for endpoints of this machine alone", error.code) from error
    jobs.sort(key=lambda job: job.over)
    _show(out, states, jobs, aws)
    _tell_where(out, aws, empty=not states and not jobs)
    if aws is not None:
        _tell_others(out, aws)


def _tell_where(out: Output, aws: Aws | None, *, empty: bool) -> None:
    """Say where was looked."""
    where = "on this machine" if aws is None else f"{shown_place(aws)}{', nor' if empty else ', and'} on this machine"
    out.say(f"no endpoint or job of ours {where}" if empty else f"({where})", style=None if empty else "dim")


def _tell_others(out: Output, aws: Aws | None) -> None:
    for sentence in others(aws, lambda region, profile: connect(region, profile, hurry=True)):
        out.warn(sentence)


def _show(out: Output, states: list[EndpointState], jobs: list[Job], aws: Aws | None) -> None:
    region = None if aws is None else aws.region
    if not out.json:
        _table(out, _ENDPOINTS, [_endpoint_row(state) for state in states])
        _notes(out, states, aws)
        if states and jobs:
            out.text("")
        _table(out, _JOBS, [_job_row(job) for job in jobs])
        return
    for state in states:
        out.result(_plain(state) | {"region": LOCAL if state.instance == LOCAL else region})
    for job in jobs:
        kind = "training" if isinstance(job, JobStatus) else "transform"
        more = {"kind": kind, "name": job.name, "region": LOCAL if job.instance == LOCAL else region}
        out.result(job_data(job) | more)


def _plain(state: EndpointState) -> dict[str, Any]:
    moments = {"created": as_tag(state.created), "expires": None if state.expires is None else as_tag(state.expires)}
    return {"kind": "endpoint"} | asdict(state) | moments


def _table(out: Output, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.text("  ".join(cells).rstrip())


def _notes(out: Output, states: list[EndpointState], aws: Aws | None) -> None:
    """What is to be said of an endpoint beside its row."""
    for state in states:
        if state.expired and state.status != "Expired":
            where = HERE if aws is None or state.instance == LOCAL else aws
            out.warn(f"{state.name} has expired and is still there: {command(where, 'reap')}")
        if state.reason:
            out.say(f"{state.name}: {state.reason}")


def _endpoint_row(state: EndpointState) -> tuple[str, ...]:
    size = state.instance if state.instances is None else f"{state.instance} × {state.instances}"
    expires = "never" if state.expires is None else as_tag(state.expires)
    return (
        state.name, state.status, size, _age(state.age), shown_price(state.so_far), expires,
        state.owner.rpartition(":")[2],
    )  # fmt: skip


def _job_row(job: Job) -> tuple[str, ...]:
    age = "" if job.created is None else _age((datetime.now(UTC) - job.created).total_seconds())
    return job.name, job.status, f"{job.instance} × {job.instances}", age, shown_price(job.price)


def _age(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
