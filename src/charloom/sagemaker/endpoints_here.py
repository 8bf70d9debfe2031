"""Endpoints of this machine beside those of an account: deployed, listed and deleted by the same commands.

`--instance local` makes them; `local/` runs them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from charloom.errors import UsageError
from charloom.events import Notify, ignore
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.hosting.delete import Deleted
from charloom.sagemaker.hosting.deploy import Deployed
from charloom.sagemaker.hosting.inventory import EndpointState
from charloom.sagemaker.hosting.model_data import ARCHIVE, model_data, stem_of
from charloom.sagemaker.hosting.parts import as_tag
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name, is_s3

_NOT_HERE = ("serverless", "asynchronous", "max_instances", "image", "subnets", "kms_key", "tag", "env")


def deploy_on_this_machine(
    model: str,
    settings: EndpointSettings,
    *,
    reach: Callable[[], Aws],
    name: str | None = None,
    notify: Notify = ignore,
) -> Deployed:
    """Put a model behind an endpoint of this machine; it costs nothing.

    Args:
        model: a model directory, a model.tar.gz, the address of one in S3, or the name of a job, here or there.
        settings: only its ttl matters.
        reach: gives the account, asked only for a model that is not here.
        name: what to call it; made from the model's if None.
        notify: receives what happens.

    Raises:
        UsageError: a choice has no meaning here, or the name is taken.
        CharloomError: the model cannot be served, or not be fetched.
    """
    from charloom.sagemaker.local.endpoints import deploy_here

    for choice in _NOT_HERE:
        if getattr(settings, choice):
            flag = "async" if choice == "asynchronous" else choice.replace("_", "-")
            raise UsageError(f"--{flag} has no meaning on this machine: leave it out")
    if settings.instances > 1:
        raise UsageError("this machine is one instance: leave --instances out")
    name = checked_name(name or fresh_name(stem_of(model)), "endpoint")
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        path = _here(model, reach, Path(temporary), notify)
        made = deploy_here(name, path, ttl=settings.ttl, notify=notify)
    expires = None if made.expires is None else as_tag(made.expires)
    return Deployed(name, model, made.address, LOCAL, 1, LOCAL, 0.0, 0.0, expires)


def _here(model: str, reach: Callable[[], Aws], folder: Path, notify: Notify) -> Path:
    """A model as a file or directory of this machine."""
    path = Path(model).expanduser()
    if not is_s3(model) and path.exists():
        return path
    if not is_s3(model) and (archive := _of_local_job(model)) is not None:
        return archive
    from charloom.sagemaker.s3 import download_file

    aws = reach()
    address = S3Uri.parse(model_data(aws, model, None, notify))
    download_file(aws, address, folder / ARCHIVE, notify)
    return folder / ARCHIVE


def _of_local_job(name: str) -> Path | None:
    from charloom.sagemaker.local.job import artifact, find_job

    try:
        return None if find_job(name) is None else artifact(name)
    except UsageError:  # no job can have that name
        return None


def endpoints_here(now: datetime | None = None) -> list[EndpointState]:
    """Every endpoint of this machine that runs, or has ended and left something."""
    from charloom.sagemaker.local.endpoints import local_endpoints

    now = now or datetime.now(UTC)
    return [
        EndpointState(
            name=found.name,
            status=found.status,
            instance=LOCAL,
            instances=1,
            created=found.created,
            age=max(0.0, (now - found.created).total_seconds()),
            per_hour=0.0,
            so_far=0.0,
            expires=found.expires,
            expired=found.expires is not None and found.expires <= now,
            owner="",
            reason="",
        )
        for found in local_endpoints()
    ]


def is_endpoint_here(name: str) -> bool:
    """Whether an endpoint of this machine has that name, running or not."""
    from charloom.sagemaker.local.endpoints import find

    try:
        return find(name) is not None
    except UsageError:  # not a valid name: whoever asks further says so
        return False


def delete_on_this_machine(name: str) -> Deleted:
    """Delete an endpoint of this machine.

    Raises:
        UsageError: no endpoint can have that name.
        StorageError: what it left cannot be removed.
    """
    from charloom.sagemaker.local.endpoints import delete_here

    return Deleted(name, (f"endpoint {name}",) if delete_here(name) else (), region=LOCAL)


def reap_this_machine() -> list[Deleted]:
    """Remove what endpoints of this machine that have expired or failed left.

    Raises:
        StorageError: it cannot be removed.
    """
    from charloom.sagemaker.local.endpoints import reap_here

    return [Deleted(name, (f"endpoint {name}",), region=LOCAL) for name in reap_here()]
