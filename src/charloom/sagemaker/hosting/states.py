"""Endpoints that come and go: wait until one is in service, end one."""

from __future__ import annotations

import time
from functools import partial

from charloom.errors import CloudError
from charloom.events import Notice, Notify
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.cloudwatch import endpoint_log, explain_failure
from charloom.sagemaker.hosting.resources import look, remove
from charloom.sagemaker.waiting import States, looks

POLL = 10.0
"""Seconds between two looks."""

_PATIENCE = 90 * 60.0  # seconds: Amazon itself gives up on an endpoint within an hour
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")


def wait_in_service(aws: Aws, name: str, notify: Notify) -> None:
    """Wait until an endpoint is in service; if it fails, `notify` receives its container's last lines."""
    began, states = time.monotonic(), States(name, notify)
    for found in looks(partial(look, aws, "endpoint", name), name, notify, every=POLL):
        if aws.dry:
            return
        if found is None:
            raise CloudError(f"the endpoint {name} has been deleted while it was being created", "Deleted")
        status = found["EndpointStatus"]
        states.report(status)
        if status == "InService":
            return
        if status not in _BUSY:
            reason = found.get("FailureReason", "no reason given")
            raise explain_failure(f"the endpoint {name} is {status}", reason, endpoint_log(aws, name), status, notify)
        if time.monotonic() - began > _PATIENCE:
            raise CloudError(f"the endpoint {name} is still {status} after {_PATIENCE / 60:.0f} minutes", "Timeout")


def end_endpoint(aws: Aws, name: str, notify: Notify) -> bool:
    """Delete an endpoint; whether there was one. One that is being created or updated is waited for."""
    began, is_notified = time.monotonic(), False
    while True:
        try:
            return remove(aws, "endpoint", name)
        except CloudError as error:
            found = look(aws, "endpoint", name) if error.code == "ValidationException" else {}
            status = "gone" if found is None else found.get("EndpointStatus", "")
            if status in ("gone", "Deleting"):
                return True
            if status not in _BUSY or time.monotonic() - began > _PATIENCE:
                raise
        if not is_notified:
            is_notified = True
            notify(Notice(f"the endpoint {name} is {status}, and cannot be deleted before that ends: waiting for it"))
        time.sleep(POLL)
