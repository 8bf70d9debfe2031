"""`charloom sagemaker reap`."""

from __future__ import annotations

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudView, reach_account
from charloom.cli.sagemaker.delete import tell_deleted
from charloom.cli.sagemaker.places import PlaceOptions
from charloom.sagemaker.commands import shown_place
from charloom.sagemaker.endpoints_here import reap_this_machine
from charloom.sagemaker.hosting.delete import reap as reap_endpoints


def reap(
    *,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Delete the endpoints of ours that have expired, and what those that ended by themselves have left.

    In the region, and on this machine; with --here on this machine alone. An endpoint without a ttl does not expire.
    """
    out = Output(options)
    reaped = [] if place.dry_run else reap_this_machine()
    for deleted in reaped:
        tell_deleted(out, deleted)
    where = "on this machine"
    if not place.here:
        aws = reach_account(place, out)
        with CloudView(out) as view:
            more = reap_endpoints(aws, notify=view)
        if aws.dry:
            return
        for deleted in more:
            tell_deleted(out, deleted)
        reaped, where = reaped + more, f"{shown_place(aws)}, nor {where}"
    if not reaped:
        out.say(f"nothing has expired {where}")
