"""Models, configurations and endpoints of the pretended Amazon: moto keeps them, their course is the test's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .fake_lives import Life
from .fake_wire import Call, Received, Reply, json_reply, refused

if TYPE_CHECKING:
    from .fake_amazon import Answering, FakeAmazon

VARIANTS = [
    {"VariantName": "AllTraffic", "ModelName": "model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
]
_MISSING = {"Model": "model", "EndpointConfig": "endpoint configuration"}


def _kept(kind: str) -> dict[str, Answering]:
    """Names that may be taken once: moto accepts them twice."""

    def create(fake: FakeAmazon, received: Received, call: Call) -> Reply:
        name = call.request[f"{kind}Name"]
        with fake.lock:
            if (kind, name) in fake.taken:
                message = f'Cannot create already existing {_MISSING[kind]} "{_arn(fake, kind, name)}".'
                return refused(call, "ValidationException", message)
            reply = fake.forward(received)
            if reply.status == 200:
                fake.taken.add((kind, name))
                if kind == "EndpointConfig":
                    fake.configurations[name] = call.request
        return reply

    def delete(fake: FakeAmazon, received: Received, call: Call) -> Reply:
        name = call.request[f"{kind}Name"]
        with fake.lock:
            if (kind, name) not in fake.taken:
                message = f'Could not find {_MISSING[kind]} "{_arn(fake, kind, name)}".'
                return refused(call, "ValidationException", message)
            fake.taken.remove((kind, name))
        return fake.forward(received)

    return {f"Create{kind}": create, f"Delete{kind}": delete}


def _describe_config(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    """Answer with the configuration as it was created, also with what moto forgets."""
    reply = fake.forward(received)
    if reply.status != 200:
        return reply
    asked = fake.configurations.get(call.request["EndpointConfigName"], {})
    kept = ("AsyncInferenceConfig", "ProductionVariants", "ExecutionRoleArn")
    return json_reply({**reply.data, **{key: asked[key] for key in kept if key in asked}})


def _create(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name = call.request["EndpointName"]
    with fake.lock:
        if name in fake.endpoints:
            message = f'Cannot create already existing endpoint "{_arn(fake, "Endpoint", name)}".'
            return refused(call, "ValidationException", message)
        reply = fake.forward(received)
        if reply.status == 200:
            fake.endpoints[name] = fake.next_life("endpoint", Life(["Creating", "InService"]), call.request)
    return reply


def _describe(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name = call.request["EndpointName"]
    with fake.lock:
        life = fake.endpoints.get(name)
        if life is None:
            return _not_found(fake, call)
        data = fake.forward(received).data
        state, lines = life.look()
        if lines:
            at = round(time.time() * 1000)
            fake.write_log(f"/aws/sagemaker/Endpoints/{name}", "AllTraffic/i-0123456789abcdef0", lines, at)
        data |= {"EndpointStatus": state, "EndpointConfigName": life.request["EndpointConfigName"]}
        config = fake.configurations.get(life.request["EndpointConfigName"], {})
        if "AsyncInferenceConfig" in config:
            data["AsyncInferenceConfig"] = config["AsyncInferenceConfig"]
        if life.failure and state == "Failed":
            data["FailureReason"] = life.failure
        return json_reply(data)


def _list(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    reply = fake.forward(received)
    if reply.status != 200:
        return reply
    data = reply.data
    for summary in data["Endpoints"]:
        summary["EndpointStatus"] = fake.endpoints[summary["EndpointName"]].state
    return json_reply(data)


def _update(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    name, config = call.request["EndpointName"], call.request["EndpointConfigName"]
    with fake.lock:
        life = fake.endpoints.get(name)
        if life is None:
            return _not_found(fake, call)
        if config not in fake.configurations:
            message = f'Could not find endpoint configuration "{_arn(fake, "EndpointConfig", config)}".'
            return refused(call, "ValidationException", message)
        if life.state != "InService":
            return refused(call, "ValidationException", f"Cannot update endpoint in status {life.state}.")
        life.request = {**life.request, "EndpointConfigName": config}
        life.turn("Updating", "InService")
    return json_reply({"EndpointArn": _arn(fake, "Endpoint", name)})


def _delete(fake: FakeAmazon, received: Received, call: Call) -> Reply:
    with fake.lock:
        if fake.endpoints.pop(call.request["EndpointName"], None) is None:
            return _not_found(fake, call)
    return fake.forward(received)


def _not_found(fake: FakeAmazon, call: Call) -> Reply:
    message = f'Could not find endpoint "{_arn(fake, "Endpoint", call.request["EndpointName"])}".'
    return refused(call, "ValidationException", message)


def _arn(fake: Any, kind: str, name: str) -> str:
    word = {"EndpointConfig": "endpoint-config"}.get(kind, kind.lower())
    return f"arn:aws:sagemaker:{fake.region}:123456789012:{word}/{name}"


ANSWERS: dict[str, Answering] = {
    **_kept("Model"),
    **_kept("EndpointConfig"),
    "DescribeEndpointConfig": _describe_config,
    "CreateEndpoint": _create,
    "DescribeEndpoint": _describe,
    "ListEndpoints": _list,
    "UpdateEndpoint": _update,
    "DeleteEndpoint": _delete,
}
