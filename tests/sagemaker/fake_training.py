"""Training jobs of the pretended Amazon: moto keeps them, their course is the test's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .fake_lives import Life, artifact_address, job_life, primary, training_fields
from .fake_wire import Call, Received, Reply, json_reply, refused

if TYPE_CHECKING:
    from .fake_amazon import FakeAmazon

GROUP = "/aws/sagemaker/TrainingJobs"


def _create(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name = call.request["TrainingJobName"]
    with fake.lock:
        if name in fake.jobs:
            message = (
                f"Job name must be unique within an AWS account and region, and a training job with this name "
                f"already exists ({_arn(fake, name)})"
            )
            return refused(call, "ResourceInUse", message)
        reply = fake.forward(received)
        if reply.status == 200:
            fake.jobs[name] = fake.next_life("job", Life(job_life(None, "")), call.request)
    return reply


def _describe(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name = call.request["TrainingJobName"]
    with fake.lock:
        life = fake.jobs.get(name)
        if life is None:
            return refused(call, "ValidationException", "Requested resource not found.")
        data = fake.forward(received).data
        _, lines = life.look()
        if lines:
            fake.write_log(GROUP, f"{name}/algo-1-1700000000", lines, round(time.time() * 1000))
        if life.ended and life.artifact is not None:
            fake.put(artifact_address(life.request), life.artifact)
            life.artifact = None
        for gone in ("ModelArtifacts", "TrainingStartTime", "TrainingEndTime", "BillableTimeInSeconds"):
            data.pop(gone, None)
        return json_reply({**data, **training_fields(life)})


def _list(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    reply = fake.forward(received)
    if reply.status != 200:
        return reply
    data = reply.data
    for summary in data["TrainingJobSummaries"]:
        life = fake.jobs[summary["TrainingJobName"]]
        summary["TrainingJobStatus"] = primary(life.state)
        summary["SecondaryStatus"] = life.state
        if not life.ended:
            summary.pop("TrainingEndTime", None)
    return json_reply(data)


def _stop(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    with fake.lock:
        life = fake.jobs.get(call.request["TrainingJobName"])
        if life is None:
            return refused(call, "ValidationException", "Requested resource not found.")
        if life.ended:
            message = f"The request was rejected because the training job is in status {primary(life.state)}."
            return refused(call, "ValidationException", message)
        life.turn("Stopping", "Stopped")
    return json_reply({})


def _arn(fake: Any, name: str) -> str:
    return f"arn:aws:sagemaker:{fake.region}:123456789012:training-job/{name}"


ANSWERS = {
    "CreateTrainingJob": _create,
    "DescribeTrainingJob": _describe,
    "ListTrainingJobs": _list,
    "StopTrainingJob": _stop,
}
