"""Batch transform of the pretended Amazon: lines are really sent to a real server, and its answers really joined."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from .fake_lives import Life
from .fake_wire import Call, Received, Reply, json_reply, refused

if TYPE_CHECKING:
    from .fake_amazon import FakeAmazon

GROUP = "/aws/sagemaker/TransformJobs"


def _create(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name, model = call.request["TransformJobName"], call.request["ModelName"]
    with fake.lock:
        if name in fake.transforms:
            return refused(call, "ResourceInUse", f"A transform job named {name} already exists.")
        if ("Model", model) not in fake.taken:
            message = f'Could not find model "arn:aws:sagemaker:{fake.region}:123456789012:model/{model}".'
            return refused(call, "ValidationException", message)
        reply = fake.forward(received)
        if reply.status == 200:
            fake.transforms[name] = fake.next_life("transform", Life(["InProgress", "Completed"]), call.request)
    return reply


def _describe(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name = call.request["TransformJobName"]
    with fake.lock:
        life = fake.transforms.get(name)
        if life is None:
            return refused(call, "ValidationException", f"Could not find transform job {name}.")
        data = fake.forward(received).data
        first = not life.shown
        state, lines = life.look()
        if first and "Completed" in life.states:
            _play(fake, life.request)
        if lines:
            fake.write_log(GROUP, f"{name}/i-0123456789abcdef0", lines, round(time.time() * 1000))
        data["TransformJobStatus"] = state
        if state == "InProgress":
            data.pop("TransformEndTime", None)
        data.pop("FailureReason", None)
        if life.failure and state == "Failed":
            data["FailureReason"] = life.failure
        return json_reply(data)


def _list(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    reply = fake.forward(received)
    if reply.status != 200:
        return reply
    data = reply.data
    for summary in data["TransformJobSummaries"]:
        summary["TransformJobStatus"] = fake.transforms[summary["TransformJobName"]].state
    return json_reply(data)


def _stop(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    with fake.lock:
        life = fake.transforms.get(call.request["TransformJobName"])
        if life is None:
            return refused(call, "ValidationException", "Could not find the transform job.")
        if life.ended:
            return refused(call, "ValidationException", f"The transform job is in status {life.state}.")
        life.turn("Stopping", "Stopped")
    return json_reply({})


def _play(fake: FakeAmazon, request: dict[str, Any]) -> None:
    """Each object under the input's prefix: its lines in batches to the server, the answers together in KEY.out."""
    source = request["TransformInput"]
    assert source.get("SplitType") == "Line", "the fake splits lines only"
    place = urlsplit(source["DataSource"]["S3DataSource"]["S3Uri"])
    server = fake.servers[request["ModelName"]]
    s3 = fake.client("s3")
    prefix = place.path.lstrip("/")
    for entry in s3.list_objects_v2(Bucket=place.netloc, Prefix=prefix).get("Contents", []):
        answers = []
        limit = request.get("MaxPayloadInMB", 6) * 2**20
        if request.get("BatchStrategy") != "MultiRecord":
            limit = 1
        for batch in _batches(fake.get(f"s3://{place.netloc}/{entry['Key']}"), limit):
            headers = {"Content-Type": source.get("ContentType", ""), "Accept": request["TransformOutput"]["Accept"]}
            answer = httpx.post(f"{server}/invocations", content=batch, headers=headers, timeout=60)
            answer.raise_for_status()
            answers.append(answer.content.rstrip(b"\n"))
        joined = (b"\n" if request["TransformOutput"].get("AssembleWith") == "Line" else b"").join(answers)
        below = entry["Key"].removeprefix(prefix).lstrip("/") or entry["Key"].rpartition("/")[2]
        fake.put(f"{request['TransformOutput']['S3OutputPath'].rstrip('/')}/{below}.out", joined + b"\n")


def _batches(content: bytes, limit: int) -> Iterator[bytes]:
    batch, size = list[bytes](), 0
    for line in content.splitlines():
        if batch and size + len(line) + 1 > limit:
            yield b"\n".join(batch)
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield b"\n".join(batch)


ANSWERS = {
    "CreateTransformJob": _create,
    "DescribeTransformJob": _describe,
    "ListTransformJobs": _list,
    "StopTransformJob": _stop,
}
