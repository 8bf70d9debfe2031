"""How Amazon's requests and answers look on the wire: which operation a request asks for, what errors look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import lru_cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

_HOP_BY_HOP = {"connection", "expect", "host", "keep-alive", "server", "date", "transfer-encoding", "content-length"}
_FORBIDDEN = ("AccessDenied", "AccessDeniedException", "RequestTimeTooSkewed", "SignatureDoesNotMatch")


@dataclass(frozen=True)
class Call:
    """A request, named as boto3 names services and Amazon names operations; the region and key it was signed for."""

    service: str
    operation: str
    request: dict[str, Any]
    region: str = ""
    key: str = ""


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Reply:
    """An answer; a body in pieces is sent as the pieces come."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""

    @property
    def data(self) -> dict[str, Any]:
        assert isinstance(self.body, bytes)
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found


def json_reply(data: dict[str, Any]) -> Reply:
    return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(data).encode())


def identified(received: Received) -> Call:
    """What a request asks for; service and operation are empty where it is not one of Amazon's."""
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", received.headers.get("Authorization", ""))
    key, region, service = scope.groups() if scope else ("", "", "")
    return replace(_named(received, service), region=region, key=key)


def _named(received: Received, service: str) -> Call:
    if target := received.headers.get("X-Amz-Target"):
        return Call(service, target.rpartition(".")[2], json.loads(received.body or b"{}"))
    if found := re.fullmatch(r"/service/\w+/operation/(\w+)", received.path):
        return Call(service, found[1], {})
    form = parse_qs(received.body.decode("utf-8", "replace")) if service and service != "s3" else {}
    if "Action" in form:
        return Call(service, form["Action"][0], {key: values[0] for key, values in form.items()})
    if service == "sagemaker" and received.path.startswith("/endpoints/"):
        service = "sagemaker-runtime"
    return _by_address(service, received) if service else Call("", "", {})


def _by_address(service: str, received: Received) -> Call:
    """The operation whose method, address and required parameters fit best, as botocore describes them."""
    best, request, most = "", dict[str, Any](), (-1, -1)
    for operation, pattern, literals in _addresses(service):
        found = pattern.fullmatch(received.path.rstrip("/") or "/")
        if operation.http["method"] != received.method or found is None:
            continue
        needed = _required(operation)
        if not literals <= set(received.query) or not all(_is_there(place, name, received) for place, name in needed):
            continue
        fit = (len(literals) + len(needed), -len(found.groupdict()))
        if fit > most:
            best, most = operation.name, fit
            request = {key: unquote(value) for key, value in found.groupdict().items()}
    return Call(service, best, {**request, **{key: values[0] for key, values in received.query.items()}})


def _required(operation: OperationModel) -> list[tuple[str, str]]:
    shape = operation.input_shape
    if shape is None:
        return []
    places = [shape.members[name].serialization for name in shape.required_members]
    return [
        (place["location"], place["name"]) for place in places if place.get("location") in ("querystring", "header")
    ]


def _is_there(place: str, name: str, received: Received) -> bool:
    return name in received.query if place == "querystring" else name in received.headers


@lru_cache
def _addresses(service: str) -> list[tuple[OperationModel, re.Pattern[str], set[str]]]:
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        parts = re.split(r"\{(\w+)(\+?)\}", path.rstrip("/") or "/")
        pattern = re.escape(parts[0])
        for label, greedy, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            pattern += f"(?P<{label}>{'.+' if greedy else '[^/]+'})" + re.escape(literal)
        found.append((operation, re.compile(pattern), set(parse_qs(query, keep_blank_values=True))))
    return found


def refused(call: Call, code: str, message: str, status: int = 0, **more: Any) -> Reply:
    """An error as the service of a call tells it."""
    status = status or (403 if code in _FORBIDDEN else 400)
    if call.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        return Reply(status, {"Content-Type": "application/xml"}, b"" if call.operation.startswith("Head") else body)
    if "Action" in call.request:
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>".encode()
        return Reply(status, {"Content-Type": "text/xml"}, body)
    content = {"__type": code, "message": message, **more}
    if call.service == "sagemaker-runtime":
        content = {"Message": message, **more}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
    return Reply(status, headers, json.dumps(content).encode())


def forwarded(address: str, received: Received) -> Reply:
    """What another server answers to the very same request."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        headers = {key: value for key, value in received.headers.items() if key.lower() not in _HOP_BY_HOP}
        connection.request(received.method, received.target, received.body or None, headers)
        answer = connection.getresponse()
        kept = {key: value for key, value in answer.getheaders() if key.lower() not in _HOP_BY_HOP}
        body = answer.read()
        if received.method == "HEAD" and (length := answer.getheader("Content-Length")):
            kept["Content-Length"] = length
        return Reply(answer.status, kept, body)
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    """Hands each request to `answer`, which a subclass sets, and sends the reply."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[Any]

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            reply = type(self).answer(Received(self.command, self.path, self.headers, body))
        except Exception as error:  # the fault of the test tool: it shows in the test as a server's error
            text = f"{type(error).__name__}: {error}".encode()
            reply = Reply(501, {"Content-Type": "text/plain"}, text)
        try:
            self._send(reply)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _any  # noqa: N815

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        if isinstance(reply.body, bytes):
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in reply.body:
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Silent when a client goes away: what it would print lands in the output that a test reads."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client's own error says what it saw."""
