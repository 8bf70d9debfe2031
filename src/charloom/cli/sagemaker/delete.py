"""`charloom sagemaker delete`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend
from charloom.cli.sagemaker.cloud import CloudView, other_account
from charloom.errors import CloudError, UsageError
from charloom.sagemaker.aws import NO_REGION
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.hosting.delete import NO_ENDPOINT, Deleted
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.local.backend import Local
from charloom.sagemaker.other_regions import endpoint_elsewhere


def delete(
    name: str,
    *,
    job: Annotated[bool, Parameter(negative=())] = False,
    force: Annotated[bool, Parameter(negative=())] = False,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Delete an endpoint with its configuration, model, schedule and autoscaling; or a job of this machine.

    An endpoint that is being created is waited for: Amazon deletes none before. One that never existed is an error.

    Parameters
    ----------
    name
        The endpoint: of this machine, else of the account; --here, --region and --profile decide.
    job
        A job of this machine: its log, checkpoints and archive. What was attached stays. Amazon keeps its jobs forever.
    force
        Delete an endpoint that charloom did not make, too.
    """
    out = Output(options)
    if job:
        _delete_job(out, name, place)
        return
    try:
        backend = find_backend(place, out, "endpoint", name, "delete", would="be deleted")
        if backend is None:
            return
        with CloudView(out) as view:
            deleted = backend.delete(name, force=force, notify=view)
    except CloudError as error:
        if error.code not in (NO_ENDPOINT, NO_REGION) or not Local().has_job(name):
            raise
        advice = f"{name} is a job of this machine: {command(HERE, 'delete', name, job=True)}"
        raise CloudError(f"{error}; {advice}", error.code) from error
    if not backend.dry:
        asks = backend.aws is None and not place.here
        tell_deleted(out, deleted, endpoint_elsewhere(name, other_account(place)) if asks else ())


def _delete_job(out: Output, name: str, place: BackendOptions) -> None:
    if place.region is not None or place.profile is not None:
        raise UsageError("Amazon keeps jobs forever, and one that has ended costs nothing: --job is for this machine")
    if place.dry_run:
        out.say(f"on this machine: the job {Local().status(name).name} would be deleted; no request would be sent")
    else:
        tell_deleted(out, Local().delete_job(name))


def tell_deleted(out: Output, deleted: Deleted, elsewhere: Sequence[str] = ()) -> None:
    """What was deleted and where, as a JSON line or a sentence; and what of that name is elsewhere."""
    if out.json:
        out.result(asdict(deleted) | {"elsewhere": list(elsewhere)})
    else:
        where = "on this machine" if deleted.region == LOCAL else f"in {deleted.region}"
        out.text(f"{deleted.name}: {_done(deleted, where)}")
        if deleted.left:
            out.say(f"left, because charloom did not make it: {', '.join(deleted.left)}")
    for sentence in elsewhere:
        out.warn(sentence)


def _done(deleted: Deleted, where: str) -> str:
    if deleted.removed:
        return f"deleted {where}: {', '.join(deleted.removed)}"
    if deleted.gone:
        return f"gone already {where}: {deleted.gone}"
    return f"nothing of it {where} was charloom's"
