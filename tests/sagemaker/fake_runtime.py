"""Asking an endpoint of the pretended Amazon: the request goes on to a real server that the test started."""

from __future__ import annotations

import json
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from .fake_lives import Life
from .fake_wire import Call, Received, Reply, refused

if TYPE_CHECKING:
    from .fake_amazon import FakeAmazon

LIMIT = 25_000_000  # bytes of a body in real time
_ACCOUNT = "123456789012"
_TIMEOUT = httpx.Timeout(60)


def _name(received: Received) -> str:
    return received.path.split("/")[2]


def _reachable(fake: FakeAmazon, received: Received, call: Call) -> Life | Reply:
    """The endpoint, if it is in service and a server answers for it."""
    name = _name(received)
    life = fake.endpoints.get(name)
    if life is None or life.state not in ("InService", "Updating"):
        return refused(call, "ValidationError", f"Endpoint {name} of account {_ACCOUNT} not found.")
    if len(received.body) > LIMIT:
        return refused(call, "ValidationError", "Request body exceeds the limit.", 413)
    assert life.address, f"no server was connected for {name}"
    return life


def _is_async(fake: FakeAmazon, life: Life) -> bool:
    return "AsyncInferenceConfig" in fake.configurations.get(life.request["EndpointConfigName"], {})


def _asked(life: Life, content_type: str, accept: str, received: Received) -> tuple[str, dict[str, str]]:
    headers = {"Content-Type": content_type or "application/octet-stream", "Accept": accept or "*/*"}
    if attributes := received.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
        headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return f"{life.address}/invocations", headers


def _invoke(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    life = _reachable(fake, received, call)
    if isinstance(life, Reply):
        return life
    if _is_async(fake, life):
        message = f"Endpoint {_name(received)} is asynchronous: InvokeEndpoint is not supported for it."
        return refused(call, "ValidationError", message)
    url, headers = _asked(life, received.headers.get("Content-Type", ""), received.headers.get("Accept", ""), received)
    try:
        answer = httpx.post(url, content=received.body, headers=headers, timeout=_TIMEOUT)
    except httpx.TimeoutException:
        return _model_error(call, 0, "Your invocation timed out while waiting for a response from container primary.")
    except httpx.TransportError as error:
        return _model_error(call, 500, f"The container closed the connection: {error}")
    if answer.status_code >= 300:
        return _model_error(call, answer.status_code, answer.text)
    answer_headers = {"Content-Type": answer.headers["content-type"], "x-Amzn-Invoked-Production-Variant": "AllTraffic"}
    return Reply(200, answer_headers, answer.content)


def _model_error(call: Call, status: int, message: str) -> Reply:
    kind = "client" if 400 <= status < 500 else "server"
    return refused(
        call,
        "ModelError",
        f'Received {kind} error ({status}) from primary with message "{message}". See the log of the endpoint.',
        424,
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn="",
    )


def _stream(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    life = _reachable(fake, received, call)
    if isinstance(life, Reply):
        return life
    accept = received.headers.get("X-Amzn-SageMaker-Accept", "")
    url, headers = _asked(life, received.headers.get("Content-Type", ""), accept, received)
    client = httpx.Client(timeout=_TIMEOUT)
    answer = client.send(client.build_request("POST", url, content=received.body, headers=headers), stream=True)
    if answer.status_code >= 300:
        message = answer.read().decode("utf-8", "replace")
        client.close()
        return _model_error(call, answer.status_code, message)
    answer_headers = {
        "Content-Type": "application/vnd.amazon.eventstream",
        "X-Amzn-SageMaker-Content-Type": answer.headers["content-type"],
        "x-Amzn-Invoked-Production-Variant": "AllTraffic",
    }
    return Reply(200, answer_headers, _frames(client, answer, fake.broken.pop(_name(received), None)))


def _frames(client: httpx.Client, answer: httpx.Response, broken: tuple[int, str] | None) -> Iterator[bytes]:
    """The server's pieces as frames, each as it arrives; after so many of them an error, where one is wanted."""
    part = {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
    try:
        for count, piece in enumerate(answer.iter_raw()):
            if broken is not None and count == broken[0]:
                yield _error_frame(broken[1])
                return
            yield frame(part, piece)
    except httpx.HTTPError:
        yield _error_frame("ModelStreamError")
    finally:
        answer.close()
        client.close()


def _error_frame(kind: str) -> bytes:
    content = {"Message": "Model stream is broken"}
    if kind == "ModelStreamError":
        content["ErrorCode"] = "StreamBroken"
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps(content).encode())


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame of application/vnd.amazon.eventstream."""
    packed = b""
    for name, value in headers.items():
        packed += struct.pack("!B", len(name)) + name.encode()
        packed += struct.pack("!BH", 7, len(value)) + value.encode()
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + packed + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _later(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    """The answer, or the server's error, is put into S3 after a moment."""
    life = _reachable(fake, received, call)
    if isinstance(life, Reply):
        return life
    if not _is_async(fake, life):
        return refused(call, "ValidationError", f"Endpoint {_name(received)} is not asynchronous.")
    config = fake.configurations[life.request["EndpointConfigName"]]["AsyncInferenceConfig"]["OutputConfig"]
    identity = str(uuid.uuid4())
    output = f"{config['S3OutputPath'].rstrip('/')}/{identity}.out"
    failure = f"{config.get('S3FailurePath', config['S3OutputPath']).rstrip('/')}/{identity}-error.out"
    content_type = received.headers.get("X-Amzn-SageMaker-Content-Type", "")
    url, headers = _asked(life, content_type, received.headers.get("X-Amzn-SageMaker-Accept", ""), received)
    source = received.headers["X-Amzn-SageMaker-InputLocation"]

    def work() -> None:
        answer = httpx.post(url, content=fake.get(source), headers=headers, timeout=_TIMEOUT)
        fake.put(output if answer.status_code < 300 else failure, answer.content)

    worker = threading.Thread(target=work, daemon=True)
    fake.workers.append(worker)
    worker.start()
    answer_headers = {"X-Amzn-SageMaker-OutputLocation": output, "X-Amzn-SageMaker-FailureLocation": failure}
    body = {"InferenceId": received.headers.get("X-Amzn-SageMaker-Inference-Id", identity)}
    assert urlsplit(source).scheme == "s3"
    return Reply(202, {"Content-Type": "application/json", **answer_headers}, json.dumps(body).encode())


ANSWERS = {
    "InvokeEndpoint": _invoke,
    "InvokeEndpointWithResponseStream": _stream,
    "InvokeEndpointAsync": _later,
}
