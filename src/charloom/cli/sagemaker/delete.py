"""`charloom sagemaker delete`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reached
from charloom.sagemaker.deleting import Deleted
from charloom.sagemaker.deleting import delete as delete_endpoint
from charloom.sagemaker.endpoints_here import delete_on_this_machine


def delete(
    name: str,
    *,
    force: Annotated[bool, Parameter(negative=())] = False,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Delete an endpoint with its configuration, model, schedule and autoscaling.

    What is gone already is no mistake. An endpoint that is being created is waited for: Amazon deletes none before.

    Parameters
    ----------
    name
        The endpoint: one of this machine, else of the account.
    force
        Delete an endpoint that charloom did not make, too.
    """
    out = Output(options)
    deleted = None if cloud.dry_run else delete_on_this_machine(name)
    if deleted is None:
        aws = reached(cloud, out, not_here=f"there is no endpoint {name}")
        with CloudView(out) as view:
            deleted = delete_endpoint(aws, name, force=force, notify=view)
        if aws.dry:
            return
    tell_deleted(out, deleted)


def tell_deleted(out: Output, deleted: Deleted) -> None:
    """What was deleted, as a JSON line or a sentence."""
    if out.json:
        out.result(asdict(deleted))
        return
    removed = f"deleted: {', '.join(deleted.removed)}" if deleted.removed else "nothing there: it was gone already"
    out.text(f"{deleted.name}: {removed}")
    if deleted.left:
        out.say(f"left, because charloom did not make it: {', '.join(deleted.left)}")
