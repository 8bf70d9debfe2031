"""A pretended Amazon that can fail: between real boto3 and moto's server, it does what moto cannot.

A test tells it what is to happen, then calls the code that is tested:

    fake.next_job(failure="AlgorithmError: ...", logs=["reading", "Traceback ..."])
    fake.next_endpoint(states=["Creating", "Creating", "Failed"], failure="The primary container ...")
    fake.refuse("CreateTrainingJob", "ResourceLimitExceeded", "The account-level service limit ...")
    fake.connect_endpoint("mine", "http://127.0.0.1:8080")      # a server of ours that the test started
    assert fake.operations("sagemaker") == ["CreateTrainingJob", "DescribeTrainingJob"]

Every look (Describe...) at a job or endpoint shows its next state; the last one stays, so a job whose states end in
"Training" runs until it is stopped. No clock is involved.

What it does not do: check signatures, permissions or request shapes (botocore checks those before sending), run
training code (a job's artifact is what the test gives), start containers, or keep Amazon's limits but for the size of
a body. What moto answers is passed on as it is, save the code of SageMaker's validation errors, which moto misspells.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from . import fake_endpoints, fake_runtime, fake_training, fake_transform
from .fake_lives import Life, job_life
from .fake_wire import Call, Handler, Received, Reply, Server, forwarded, identified, json_reply, refused

Answering = Callable[[Any, Received, Call], Reply]

_ANSWERS: dict[str, Answering] = {
    **fake_training.ANSWERS,
    **fake_endpoints.ANSWERS,
    **fake_transform.ANSWERS,
    **fake_runtime.ANSWERS,
}


@dataclass
class _Refusal:
    operation: str
    code: str
    message: str
    times: int | None
    status: int


class FakeAmazon:
    """See the module."""

    def __init__(self, moto: str, region: str) -> None:
        """Stand before moto's server at this address."""
        self.moto, self.region = moto, region
        self.calls: list[Call] = []
        self.jobs: dict[str, Life] = {}
        self.endpoints: dict[str, Life] = {}
        self.transforms: dict[str, Life] = {}
        self.taken: set[tuple[str, str]] = set()  # (kind, name) of models and endpoint configurations
        self.configurations: dict[str, dict[str, Any]] = {}
        self.servers: dict[str, str] = {}  # of models, for batch transform
        self.broken: dict[str, tuple[int, str]] = {}
        self.lock = threading.RLock()
        self.workers: list[threading.Thread] = []
        self._next: dict[str, deque[Life]] = {"job": deque(), "endpoint": deque(), "transform": deque()}
        self._refusals: list[_Refusal] = []
        handler = type("Answering", (Handler,), {"answer": staticmethod(self._answer)})
        self._server = Server(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        for worker in self.workers:
            worker.join(30)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    # What a test says is to happen

    def next_job(
        self,
        states: Sequence[str] | None = None,
        *,
        failure: str = "",
        logs: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
        seconds: int = 90,
        artifact: bytes | Path | None = None,
    ) -> None:
        """How the next training job goes (secondary statuses), what it writes to its log, and what it leaves in S3.

        Without this a job goes Starting, Downloading, Training, Uploading, Completed, and leaves nothing.
        """
        life = Life(job_life(states, failure), failure, list(logs), seconds, dict(metrics or {}), artifact)
        self._next["job"].append(life)

    def next_endpoint(
        self, states: Sequence[str] = ("Creating", "InService"), *, failure: str = "", logs: Sequence[str] = (),
        address: str = "",
    ) -> None:  # fmt: skip
        """How the next endpoint goes, what its container writes, and which server answers for it."""
        self._next["endpoint"].append(Life(list(states), failure, list(logs), address=address))

    def next_transform(
        self, states: Sequence[str] | None = None, *, failure: str = "", logs: Sequence[str] = ()
    ) -> None:
        """How the next transform job goes; it is played (see connect_model) when it is first InProgress."""
        chosen = list(states) if states is not None else ["InProgress", "Failed" if failure else "Completed"]
        self._next["transform"].append(Life(chosen, failure, list(logs)))

    def refuse(self, operation: str, code: str, message: str = "", *, times: int | None = 1, status: int = 0) -> None:
        """Answer the next calls of an operation with an error; `times=None` is for ever."""
        self._refusals.append(_Refusal(operation, code, message, times, status))

    def connect_endpoint(self, name: str, address: str, *, async_output: str = "") -> None:
        """Let a server of the test answer for an endpoint; one that was not created is InService from now on.

        With `async_output`, an address in S3, that one is an asynchronous endpoint.
        """
        if name not in self.endpoints:
            config: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": fake_endpoints.VARIANTS}
            if async_output:
                self._make_bucket(urlsplit(async_output).netloc)
                config["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": async_output}}
            sagemaker = self.client("sagemaker")
            self._make_model("model")
            sagemaker.create_endpoint_config(**config)
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            self.configurations[name] = config
            self.taken.add(("EndpointConfig", name))
            self.endpoints[name] = Life(["InService"], request={"EndpointConfigName": name})
        self.endpoints[name].address = address

    def connect_model(self, name: str, address: str) -> None:
        """Let a server of the test answer the batch transforms of a model, which is created if it is not there."""
        self._make_model(name)
        self.servers[name] = address

    def _make_bucket(self, name: str) -> None:
        s3 = self.client("s3")
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.region})

    def _make_model(self, name: str) -> None:
        if ("Model", name) not in self.taken:
            self.client("sagemaker").create_model(ModelName=name, ExecutionRoleArn="arn:aws:iam::123456789012:role/R")
            self.taken.add(("Model", name))

    def break_stream(self, endpoint: str, after: int, kind: str = "ModelStreamError") -> None:
        """End the endpoint's next response stream with an error (or InternalStreamFailure) after so many pieces."""
        self.broken[endpoint] = (after, kind)

    # What a test reads

    def operations(self, service: str | None = None) -> list[str]:
        """What was called so far, in order."""
        return [call.operation for call in self.calls if service in (None, call.service)]

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """What was sent to one operation."""
        return [call.request for call in self.calls if call.operation == operation]

    # What the parts of the fake use

    def client(self, service: str) -> Any:
        """boto3 for moto itself, past the fake."""
        return _moto_client(self.moto, self.region, service)

    def next_life(self, kind: str, otherwise: Life, request: dict[str, Any]) -> Life:
        life = self._next[kind].popleft() if self._next[kind] else otherwise
        life.request = request
        return life

    def forward(self, received: Received) -> Reply:
        reply = forwarded(self.moto, received)
        if reply.status == 400 and isinstance(reply.body, bytes):  # moto's name for what Amazon calls otherwise
            right = reply.body.replace(b'"ValidationError"', b'"ValidationException"')
            return replace(reply, body=right, headers={k: v for k, v in reply.headers.items() if "errortype" not in k})
        return reply

    def write_log(self, group: str, stream: str, lines: Sequence[str], at: int) -> None:
        """Put lines into CloudWatch, at a time in milliseconds."""
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": at, "message": line} for line in lines]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def put(self, address: str, content: bytes | Path) -> None:
        """Put an object into S3, and its bucket if it is not there."""
        place = urlsplit(address)
        self._make_bucket(place.netloc)
        body = content if isinstance(content, bytes) else content.read_bytes()
        self.client("s3").put_object(Bucket=place.netloc, Key=place.path.lstrip("/"), Body=body)

    def get(self, address: str) -> bytes:
        """An object of S3."""
        place = urlsplit(address)
        body = self.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
        with body:
            content: bytes = body.read()
        return content

    def _answer(self, received: Received) -> Reply:
        call = identified(received)
        if not call.service:
            return self.forward(received)
        with self.lock:
            self.calls.append(call)
            if refusal := self._refusal(call.operation):
                return refused(call, refusal.code, refusal.message, refusal.status)
        if call.region != self.region:  # elsewhere all is as moto has it: the lives are those of one region
            return self.forward(received)
        if call.service.startswith("sagemaker") and (answering := _ANSWERS.get(call.operation)):
            return answering(self, received, call)
        reply = self.forward(received)
        if call.operation == "FilterLogEvents" and reply.status == 200:  # moto passes over the prefix
            prefix, data = call.request.get("logStreamNamePrefix", ""), reply.data
            kept = [event for event in data["events"] if event["logStreamName"].startswith(prefix)]
            return json_reply({**data, "events": kept})
        return reply

    def _refusal(self, operation: str) -> _Refusal | None:
        for refusal in self._refusals:
            if refusal.operation == operation and refusal.times != 0:
                if refusal.times is not None:
                    refusal.times -= 1
                return refusal
        return None


@lru_cache
def _moto_client(address: str, region: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=address, region_name=region, aws_access_key_id="test", aws_secret_access_key="test"
    )
