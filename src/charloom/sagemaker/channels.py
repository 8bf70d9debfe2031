"""Two ways to an endpoint: Amazon's, and straight to a server of this machine."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

from charloom.errors import CloudError
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import HERE, command
from charloom.sagemaker.invocation_request import invoke_request
from charloom.sagemaker.model_errors import explained, model_words

_LOCAL_SECONDS = 480  # as long as Amazon lets a stream take
_PIECE = 1 << 16


class Channel(Protocol):
    """An endpoint that can be asked."""

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """The whole answer.

        Raises:
            CloudError: the endpoint is not there, not ready, or has refused or failed.
        """

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """The answer as it comes, cut anywhere.

        Raises:
            CloudError: as `ask`; or the answer broke off.
        """


def channel(aws: Aws | None, name: str) -> Channel:
    """The way to an endpoint of an account, or where none is given to one of this machine.

    Raises:
        CloudError: there is none of that name on this machine, or it does not serve.
    """
    if aws is not None:
        return AmazonChannel(aws, name)
    here = local_address(name)
    if here is None:
        raise CloudError(f"there is no endpoint {name} on this machine: {command(HERE, 'list')} shows what there is")
    return LocalChannel(name, here)


def local_address(name: str) -> str | None:
    """Where an endpoint of this machine listens; None where there is none of that name.

    Raises:
        UsageError: the name cannot be one.
        CloudError: there is one, and it does not serve.
    """
    from charloom.sagemaker.local.endpoints import find

    found = find(name)
    if found is None:
        return None
    if found.status != "InService":
        advice = "ask again in a moment" if found.status == "Creating" else f"{command(HERE, 'delete', name)} clears it"
        raise CloudError(f"endpoint {name} of this machine is {found.status}: {advice}", found.status)
    return found.address


class AmazonChannel:
    """An endpoint of an account."""

    def __init__(self, aws: Aws, name: str) -> None:
        """The endpoint of that name."""
        self._aws = aws
        self._name = name

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """See `Channel`; empty in a dry run."""
        request = invoke_request(self._name, body, content_type, accept)
        try:
            answer = self._aws.call("sagemaker-runtime", "invoke_endpoint", **request)
            return _whole(answer["Body"], self._aws.region) if answer else b""
        except CloudError as error:
            raise explained(self._aws, self._name, error) from error

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """See `Channel`; nothing in a dry run."""
        request = invoke_request(self._name, body, content_type, accept)
        try:
            answer = self._aws.call("sagemaker-runtime", "invoke_endpoint_with_response_stream", **request)
        except CloudError as error:
            raise explained(self._aws, self._name, error) from error
        if answer:
            yield from _pieces(answer["Body"], self._name, self._aws.region)


def _whole(stream: Any, region: str) -> bytes:
    from charloom.sagemaker.refusals import refusals

    with stream, refusals("sagemaker-runtime", "invoke_endpoint", region):
        content: bytes = stream.read()
        return content


def _pieces(frames: Any, name: str, region: str) -> Iterator[bytes]:
    """What the frames of an event stream hold.

    Raises:
        CloudError: one of them is an error, or the connection broke.
    """
    from urllib3.exceptions import HTTPError

    from charloom.sagemaker.refusals import refusals

    try:
        with refusals("sagemaker-runtime", "invoke_endpoint_with_response_stream", region):
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


class LocalChannel:
    """A server of this machine, asked over HTTP as a container would be."""

    def __init__(self, name: str, address: str) -> None:
        """The endpoint of that name, at `http://127.0.0.1:PORT`."""
        self._name = name
        self._place = urlsplit(address).netloc

    def ask(self, body: bytes, content_type: str, accept: str = "") -> bytes:
        """See `Channel`."""
        return b"".join(self.stream(body, content_type, accept))

    def stream(self, body: bytes, content_type: str, accept: str = "") -> Iterator[bytes]:
        """See `Channel`."""
        invoke_request(self._name, body, content_type)  # the same limits
        connection = http.client.HTTPConnection(self._place, timeout=_LOCAL_SECONDS)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": content_type, "Accept": accept or "*/*"})
            answer = connection.getresponse()
            if answer.status >= 300:
                raise self._refused(answer.status, answer.read(_PIECE).decode("utf-8", "replace"))
            while piece := answer.read1(_PIECE):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            message = (
                f"endpoint {self._name} of this machine does not answer at {self._place} ({error or 'it broke off'})"
            )
            raise CloudError(f"{message}: {command(HERE, 'list')} shows what runs", "ConnectionError") from error
        finally:
            connection.close()

    def _refused(self, status: int, said: str) -> CloudError:
        words = model_words(said)
        does = "refused the request" if status < 500 else f"failed ({status})"
        return CloudError(f"endpoint {self._name} {does}: {words}", "ModelError", words)
