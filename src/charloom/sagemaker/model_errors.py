"""Why an endpoint has not answered: in one line, the model's own words first."""

from __future__ import annotations

import json
from typing import Any

from charloom.display import visible
from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.creations import made_elsewhere

TOO_SLOW = "an answer in real time may take 60 seconds: ask for less with --length, or give --stream (8 minutes)"
_SHOWN = 500  # characters of what a model says


def model_words(answer: str) -> str:
    """The message in a server's error body, or the body, as one line and not for ever."""
    text = answer
    try:
        found = json.loads(answer)
        if isinstance(found, dict):
            error = found.get("error", found)
            text = str(error.get("message", answer) if isinstance(error, dict) else error)
    except ValueError:
        pass
    line = visible(" ".join(text.split()))
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def explained(aws: Aws, name: str, error: CloudError) -> CloudError:
    """What was wrong, found out by asking for the endpoint where Amazon's own message does not say it."""
    if error.code == "ModelError":
        return _of_model(aws, name, error)
    if error.code in ("ReadTimeoutError", "ModelTimeout"):
        return CloudError(f"endpoint {name} did not answer in time: {TOO_SLOW}", error.code, error.reason)
    if error.code in ("ModelNotReadyException", "ServiceUnavailable"):
        return CloudError(f"endpoint {name} is still starting: try again in a minute", error.code, error.reason)
    if error.code in ("ValidationError", "ValidationException"):
        return _of_state(aws, name, error)
    return error


def _of_model(aws: Aws, name: str, error: CloudError) -> CloudError:
    told: dict[str, Any] = getattr(error.__cause__, "response", {})
    said = str(told.get("OriginalMessage") or error.reason)
    status = int(told.get("OriginalStatusCode") or 0)
    if "timed out" in said.lower() or status in (408, 504):
        return CloudError(f"endpoint {name} did not answer in time: {TOO_SLOW}", error.code, said)
    words = model_words(said)
    if 400 <= status < 500:
        return CloudError(f"endpoint {name} refused the request: {words}", error.code, words)
    advice = f"{command(aws, 'logs', name)} shows what it wrote"
    return CloudError(f"endpoint {name} failed ({status or 'no status'}): {words}; {advice}", error.code, words)


def _of_state(aws: Aws, name: str, error: CloudError) -> CloudError:
    try:
        found = aws.call("sagemaker", "describe_endpoint", EndpointName=name)
    except CloudError as described:
        if described.code == "ValidationException":
            advice = made_elsewhere(aws, name, "invoke") or f"{command(aws, 'list')} shows what there is"
            message = f"there is no endpoint {name} {shown_place(aws)}: {advice}"
            return CloudError(message, described.code, error.reason)
        return error
    status = found["EndpointStatus"]
    if status in ("InService", "Updating"):
        if "async" in error.reason.lower():
            kind = (
                "asynchronous: give --async"
                if "AsyncInferenceConfig" in found
                else "not asynchronous: leave --async out"
            )
            return CloudError(f"endpoint {name} is {kind}", error.code, error.reason)
        return error
    reason = found.get("FailureReason", "")
    advice = f": {reason}" if reason else ": it answers once it is InService" if status == "Creating" else ""
    return CloudError(f"endpoint {name} is {status}{advice}", status, reason)
