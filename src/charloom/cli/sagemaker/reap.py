"""`charloom sagemaker reap`."""

from __future__ import annotations

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reached
from charloom.cli.sagemaker.delete import tell_deleted
from charloom.sagemaker.deleting import reap as reap_endpoints
from charloom.sagemaker.endpoints_here import reap_this_machine


def reap(
    *,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Delete the endpoints of ours that have expired, and what those that ended by themselves have left.

    An endpoint without a ttl does not expire.
    """
    out = Output(options)
    reaped = [] if cloud.dry_run else reap_this_machine()
    for deleted in reaped:
        tell_deleted(out, deleted)
    aws = reached(cloud, out)
    with CloudView(out) as view:
        more = reap_endpoints(aws, notify=view)
    if aws.dry:
        return
    for deleted in more:
        tell_deleted(out, deleted)
    if not reaped and not more:
        out.say("nothing has expired")
