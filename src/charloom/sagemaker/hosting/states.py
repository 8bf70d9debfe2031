"""Endpoints that come and go: wait until one is in service, read its last words, end it."""

from __future__ import annotations

import time
from collections import deque

from charloom.errors import CloudError
from charloom.events import LogLine, Notice, Notify, StatusChanged
from charloom.sagemaker.aws import Answer, Aws
from charloom.sagemaker.cloudwatch import ENDPOINTS, endpoint_log
from charloom.sagemaker.hosting.parts import look, remove

POLL = 10.0
"""Seconds between two looks."""

_NOTICE_EVERY = 60.0  # seconds: a sign of life while nothing changes
_PATIENCE = 90 * 60.0  # seconds: Amazon itself gives up on an endpoint within an hour
_SILENCE = 10 * 60.0  # seconds that the network may be away while an endpoint comes to be
_NO_NETWORK = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError")
_BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
_LINES = 20


def wait_in_service(aws: Aws, name: str, notify: Notify) -> Answer:
    """Wait until an endpoint is in service, and give its description.

    Raises:
        CloudError: it has failed (`notify` has received its container's last lines), vanished, or takes too long.
    """
    began = last_notice = heard = time.monotonic()
    status = ""
    while True:
        try:
            found = look(aws, "endpoint", name)
            heard = time.monotonic()
        except CloudError as error:
            if error.code not in _NO_NETWORK or time.monotonic() - heard > _SILENCE:
                raise
            time.sleep(POLL)
            continue
        if aws.dry:
            return {}
        now = time.monotonic()
        if found is None:
            raise CloudError(f"the endpoint {name} has been deleted while it was being created", "Deleted")
        if found["EndpointStatus"] != status or now - last_notice >= _NOTICE_EVERY:
            same, status, last_notice = found["EndpointStatus"] == status, found["EndpointStatus"], now
            notify(StatusChanged(name, status, f"for {(now - began) / 60:.0f} min" if same else ""))
        if status == "InService":
            return found
        if status not in _BUSY:
            raise _failure(aws, name, found, notify)
        if now - began > _PATIENCE:
            raise CloudError(f"the endpoint {name} is still {status} after {_PATIENCE / 60:.0f} minutes", "Timeout")
        time.sleep(POLL)


def _failure(aws: Aws, name: str, found: Answer, notify: Notify) -> CloudError:
    status, reason = found["EndpointStatus"], " ".join(str(found.get("FailureReason", "no reason given")).split())
    lines = last_log_lines(aws, name)
    for line in lines:
        notify(LogLine(line))
    where = "" if lines else f"; its container wrote nothing to {ENDPOINTS}/{name}"
    return CloudError(f"the endpoint {name} is {status}: {reason}{where}", status, reason)


def last_log_lines(aws: Aws, name: str, limit: int = _LINES) -> list[str]:
    """The last lines that an endpoint's containers have written; none where they cannot be read."""
    try:
        return [line.message for line in deque(endpoint_log(aws, name).new_lines(), maxlen=limit)]
    except CloudError:  # no permission: the failure itself is what matters
        return []


def end_endpoint(aws: Aws, name: str, notify: Notify) -> bool:
    """Delete an endpoint; whether there was one. One that is being created or updated is waited for.

    Raises:
        CloudError: it was refused, or the endpoint does not settle.
    """
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
