"""Clients of an endpoint, one through Amazon and one of a local server, with the requests they send.

Requests stay within Amazon's limits. An error is one line, the model's own words first.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from charloom.display import visible
from charloom.errors import CloudError, UsageError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import HERE, command, shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.names import S3Uri, check_name
from charloom.settings import SamplingSettings, combine_settings

JSON, TEXT = "application/json", "text/plain"

REAL_TIME_LIMIT = 25_000_000
"""Bytes of a body that is answered in real time."""

ASYNC_LIMIT = 1_000_000_000
"""Bytes of an input in S3."""

TOO_SLOW = "an answer in real time may take 60 seconds: ask for less with --length, or give --stream (8 minutes)"
_SHOWN = 500  # characters of what a model says
_LOCAL_SECONDS = 480  # as long as Amazon lets a stream take
_PIECE = 1 << 16


def completion_body(
    prompt: str, settings: SamplingSettings | None, sampling: Mapping[str, Any], *, stream: bool = False
) -> bytes:
    """The body of a completion, as docs/reference/http.md describes it."""
    settings = combine_settings(SamplingSettings, settings, sampling)
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": settings.length}
    for name in sorted(settings.model_fields_set - {"length"}):
        if (value := getattr(settings, name)) is not None:
            body[name] = value
    return json.dumps({**body, "stream": True} if stream else body).encode()


def payload_body(payload: str) -> bytes:
    """The article's payload: `<total length>-<start text>`."""
    try:
        return payload.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the payload is not text: character {error.start:,} cannot be sent") from None


def invoke_request(name: str, body: bytes, content_type: str, accept: str = "") -> dict[str, Any]:
    """For InvokeEndpoint and InvokeEndpointWithResponseStream."""
    if len(body) > REAL_TIME_LIMIT:
        raise UsageError(
            f"the request has {len(body):,} bytes, an endpoint takes {REAL_TIME_LIMIT:,}: give the prompt's last part"
        )
    request = {"EndpointName": check_name(name, "endpoint"), "ContentType": content_type, "Body": body}
    return {**request, "Accept": accept} if accept else request


def async_request(name: str, source: S3Uri, content_type: str, accept: str = "") -> dict[str, Any]:
    """For InvokeEndpointAsync, with an input in S3."""
    request = {
        "EndpointName": check_name(name, "endpoint"),
        "ContentType": content_type,
        "InputLocation": str(source),
    }
    return {**request, "Accept": accept} if accept else request


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


def explain_error(aws: Aws, name: str, error: CloudError) -> CloudError:
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
    original: dict[str, Any] = getattr(error.__cause__, "response", {})
    said = str(original.get("OriginalMessage") or error.reason)
    status = int(original.get("OriginalStatusCode") or 0)
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


class EndpointClient(Protocol):
    """An endpoint that can be asked."""

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """The whole answer."""

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """The answer as it comes, cut anywhere."""


def endpoint_client(aws: Aws | None, name: str) -> EndpointClient:
    """The client of an endpoint of an account, or where none is given of one of this machine."""
    if aws is not None:
        return AmazonClient(aws, name)
    here = local_address(name)
    if here is None:
        raise CloudError(f"there is no endpoint {name} on this machine: {command(HERE, 'list')} shows what there is")
    return LocalClient(name, here)


def local_address(name: str) -> str | None:
    """Where an endpoint of this machine listens; None where there is none of that name."""
    from charloom.sagemaker.local.endpoints import find

    found = find(name)
    if found is None:
        return None
    if found.status != "InService":
        advice = "ask again in a moment" if found.status == "Creating" else f"{command(HERE, 'delete', name)} clears it"
        raise CloudError(f"endpoint {name} of this machine is {found.status}: {advice}", found.status)
    return found.address


class AmazonClient:
    """An endpoint of an account."""

    def __init__(self, aws: Aws, name: str) -> None:
        """The endpoint of that name."""
        self._aws = aws
        self._name = name

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """See `EndpointClient`; empty in a dry run."""
        request = invoke_request(self._name, body, content_type, accept)
        try:
            answer = self._aws.call("sagemaker-runtime", "invoke_endpoint", **request)
            return _whole(answer["Body"], self._aws.region) if answer else b""
        except CloudError as error:
            raise explain_error(self._aws, self._name, error) from error

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """See `EndpointClient`; nothing in a dry run."""
        request = invoke_request(self._name, body, content_type, accept)
        try:
            answer = self._aws.call("sagemaker-runtime", "invoke_endpoint_with_response_stream", **request)
        except CloudError as error:
            raise explain_error(self._aws, self._name, error) from error
        if answer:
            yield from _pieces(answer["Body"], self._name, self._aws.region)


def _whole(stream: Any, region: str) -> bytes:
    from charloom.sagemaker.aws_errors import as_cloud_errors

    with stream, as_cloud_errors("sagemaker-runtime", "invoke_endpoint", region):
        content: bytes = stream.read()
        return content


def _pieces(frames: Any, name: str, region: str) -> Iterator[bytes]:
    """What the frames of an event stream hold."""
    from urllib3.exceptions import HTTPError

    from charloom.sagemaker.aws_errors import as_cloud_errors

    try:
        with as_cloud_errors("sagemaker-runtime", "invoke_endpoint_with_response_stream", region):
            for frame in frames:
                if "PayloadPart" in frame:
                    yield frame["PayloadPart"]["Bytes"]
    except CloudError as error:
        reason = f" ({error.reason})" if error.reason else ""
        raise CloudError(f"the answer of {name} broke off: {error.code}{reason}", error.code, error.reason) from error
    except (HTTPError, OSError) as error:  # botocore lets them through in a stream of events
        raise CloudError(f"the answer of {name} broke off: {error}", "ConnectionError") from error
    finally:
        frames.close()


class LocalClient:
    """A server of this machine, asked over HTTP as a container would be."""

    def __init__(self, name: str, address: str) -> None:
        """The endpoint of that name, at `http://127.0.0.1:PORT`."""
        self._name = name
        self._place = urlsplit(address).netloc

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """See `EndpointClient`."""
        return b"".join(self.stream(body, content_type, accept))

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """See `EndpointClient`."""
        invoke_request(self._name, body, content_type)  # the same limits
        connection = http.client.HTTPConnection(self._place, timeout=_LOCAL_SECONDS)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": content_type, "Accept": accept or "*/*"})
            answer = connection.getresponse()
            if answer.status >= 300:
                raise self._refusal(answer.status, answer.read(_PIECE).decode("utf-8", "replace"))
            while piece := answer.read1(_PIECE):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            message = (
                f"endpoint {self._name} of this machine does not answer at {self._place} ({error or 'it broke off'})"
            )
            raise CloudError(f"{message}: {command(HERE, 'list')} shows what runs", "ConnectionError") from error
        finally:
            connection.close()

    def _refusal(self, status: int, said: str) -> CloudError:
        words = model_words(said)
        does = "refused the request" if status < 500 else f"failed ({status})"
        return CloudError(f"endpoint {self._name} {does}: {words}", "ModelError", words)
