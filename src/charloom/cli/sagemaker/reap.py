"""`charloom sagemaker reap`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions
from charloom.cli.sagemaker.cloud import CloudView, reach_account
from charloom.cli.sagemaker.delete import tell_deleted
from charloom.sagemaker.amazon import Amazon
from charloom.sagemaker.commands import HERE, shown_place
from charloom.sagemaker.local.backend import Local

if TYPE_CHECKING:
    from charloom.sagemaker.backend import Backend


def reap(
    *,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Delete the endpoints of ours that have expired, and what those that ended by themselves have left.

    In the region, and on this machine; with --here on this machine alone. An endpoint without a ttl does not expire.
    """
    out = Output(options)
    reaped = 0 if place.dry_run else _reap(out, Local())
    where = shown_place(HERE)
    if not place.here:
        account = Amazon(reach_account(place, out))
        reaped += _reap(out, account)
        if account.dry:
            return
        where = f"{shown_place(account.where)}, nor {where}"
    if not reaped:
        out.say(f"nothing has expired {where}")


def _reap(out: Output, backend: Backend) -> int:
    """Reap in one place, and say what was deleted there; how much."""
    with CloudView(out) as view:
        found = backend.reap(notify=view)
    for deleted in [] if backend.dry else found:
        tell_deleted(out, deleted)
    return len(found)
