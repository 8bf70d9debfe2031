"""`charloom sagemaker list`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, reached
from charloom.errors import CloudError
from charloom.sagemaker.account import NO_REGION
from charloom.sagemaker.endpoints_here import endpoints_here
from charloom.sagemaker.expiry import as_tag
from charloom.sagemaker.inventory import EndpointState, endpoints
from charloom.sagemaker.prices import shown_price

_HEAD = ("NAME", "STATUS", "RUNS ON", "AGE", "SO FAR", "EXPIRES", "OWNER")


def list_endpoints(
    *,
    here: Annotated[bool, Parameter(negative=())] = False,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Every endpoint of ours in the region, and of this machine: age, price so far, expiry.

    The price is that of the size it has now for the time it has existed; what is not in the table is unknown.

    Parameters
    ----------
    here
        Only endpoints of this machine: no account is asked.
    """
    out = Output(options)
    states = [] if cloud.dry_run else endpoints_here()
    try:
        if not here:
            aws = reached(cloud, out)
            states += endpoints(aws)
            if aws.dry:
                return
    except CloudError as error:  # what is on this machine is seen all the same
        _show(out, states)
        if error.code != NO_REGION:
            raise
        raise CloudError(f"{error}; or --here, for endpoints of this machine alone", error.code) from error
    if not states and not out.json:
        out.say("no endpoint of ours")
    _show(out, states)


def _show(out: Output, states: list[EndpointState]) -> None:
    if out.json:
        for state in states:
            out.result(_plain(state))
    elif states:
        _table(out, states)


def _plain(state: EndpointState) -> dict[str, Any]:
    moments = {"created": as_tag(state.created), "expires": None if state.expires is None else as_tag(state.expires)}
    return asdict(state) | moments


def _table(out: Output, states: list[EndpointState]) -> None:
    rows = [_HEAD, *(_row(state) for state in states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.text("  ".join(cells).rstrip())
    for state in states:
        if state.expired and state.status != "Expired":
            out.warn(f"{state.name} has expired and is still there: charloom sagemaker reap")
        if state.reason:
            out.say(f"{state.name}: {state.reason}")


def _row(state: EndpointState) -> tuple[str, ...]:
    size = state.instance if state.instances is None else f"{state.instance} × {state.instances}"
    expires = "never" if state.expires is None else as_tag(state.expires)
    return (
        state.name, state.status, size, _age(state.age), shown_price(state.so_far), expires,
        state.owner.rpartition(":")[2],
    )  # fmt: skip


def _age(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
