"""Endpoints come to be, or nothing is left: real boto3, a pretended Amazon that fails on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from charloom.errors import CloudError, ModelDirectoryError, UsageError
from charloom.events import Event, LogLine, Notice, StatusChanged
from charloom.sagemaker import Deployed, create_model, deploy
from charloom.sagemaker.aws import Account
from charloom.sagemaker.hosting import deploy as deploying
from charloom.sagemaker.hosting import states as endpoint_states
from charloom.sagemaker.hosting.resources import tags_of
from charloom.sagemaker.names import EXPIRES, OURS, OWNER, from_tag
from charloom.sagemaker.s3 import default_bucket

from .fake_amazon import FakeAmazon

ROLE = "arn:aws:iam::123456789012:role/Charloom"
DATA = "s3://bucket/charloom/model.tar.gz"


@lru_cache
def _session() -> Any:
    """One for all tests: reading Amazon's descriptions is most of a client's cost."""
    return boto3.Session()


def quick_account(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account behind the fake, with an archive in it; nothing is waited for."""
    monkeypatch.setattr(endpoint_states, "POLL", 0)
    fake.put(DATA, b"archive")
    return Account(_session())


@pytest.fixture
def aws(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.delenv("CHARLOOM_SCHEDULER_ROLE", raising=False)
    return quick_account(fake, monkeypatch)


def put(aws: Account, **choice: Any) -> Deployed:
    return deploy(aws, **{"model": DATA, "name": "mine", "role": ROLE, "image": "registry/image:1"} | choice)


def remains(fake: FakeAmazon) -> list[str]:
    """Everything that is in the account."""
    sagemaker = boto3.client("sagemaker")
    return [
        *(f"endpoint {one['EndpointName']}" for one in sagemaker.list_endpoints()["Endpoints"]),
        *(f"config {one['EndpointConfigName']}" for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]),
        *(f"model {one['ModelName']}" for one in sagemaker.list_models()["Models"]),
        *(f"schedule {one['Name']}" for one in boto3.client("scheduler").list_schedules()["Schedules"]),
        *targets(),
    ]


def targets() -> list[str]:
    found = boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return [f"scaling {one['ResourceId']}" for one in found["ScalableTargets"]]


ALL = ["endpoint mine", "config mine", "model mine"]


def test_an_endpoint_goes_into_service(aws: Account, fake: FakeAmazon) -> None:
    events: list[Event] = []
    fake.next_endpoint(["Creating", "Creating", "InService"])
    made = put(aws, notify=events.append, price=0.5)
    assert (made.name, made.instance, made.per_hour, made.per_month) == ("mine", "ml.c5.large", 0.5, 365.0)
    assert [event.status for event in events if isinstance(event, StatusChanged)] == ["Creating", "InService"]
    assert remains(fake) == ALL
    marked = tags_of(aws, f"arn:aws:sagemaker:{aws.region}:123456789012:endpoint/mine")
    assert marked[OURS]
    assert marked[OWNER].startswith("arn:aws:")
    assert EXPIRES not in marked
    (model,) = fake.requests("CreateModel")
    assert model["PrimaryContainer"]["ModelDataUrl"] == DATA
    assert model["PrimaryContainer"]["Image"] == "registry/image:1"


def test_a_model_directory_is_packed_checked_and_uploaded_once(aws: Account, fake: FakeAmazon, trained: Path) -> None:
    first, second = put(aws, model=str(trained)), put(aws, model=str(trained), name="again")
    assert first.data == second.data
    assert first.data.startswith(f"s3://{default_bucket(aws)}/charloom/models/{trained.name}/")
    assert len(fake.get(first.data)) > 10_000
    assert fake.operations("s3").count("PutObject") <= 1


def test_the_image_is_the_accounts_own_or_amazons_last_saying_what_is_lost(aws: Account, fake: FakeAmazon) -> None:
    events: list[Event] = []
    assert "pytorch-inference:2.6.0" in put(aws, image=None, notify=events.append).image
    assert any(isinstance(event, Notice) and "no response streaming" in event.message for event in events)


def test_a_finished_job_is_deployed_by_its_name(aws: Account, fake: FakeAmazon) -> None:
    job = {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    fake.next_job(states=["Completed"])
    fake.next_job(states=["Training"])
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_training_job(TrainingJobName="done", **job)
    sagemaker.create_training_job(TrainingJobName="busy", **job)
    assert put(aws, model="done").data == "s3://bucket/out/done/output/model.tar.gz"
    with pytest.raises(UsageError, match="busy is InProgress, not Completed"):
        put(aws, model="busy", name="b")
    with pytest.raises(ModelDirectoryError, match="no such training job"):
        put(aws, model="nothing", name="b")
    assert remains(fake) == ALL


def test_models_that_are_nowhere_are_refused_before_anything_is_made(aws: Account, fake: FakeAmazon) -> None:
    for model, says in (
        ("s3://bucket/nothing.tar.gz", "is not there"),
        ("s3://bucket/folder/", "is not an archive"),
        ("runs/nothing", "no such model directory"),
    ):
        with pytest.raises((CloudError, UsageError, ModelDirectoryError), match=says):
            put(aws, model=model)
    assert remains(fake) == []


def test_a_failed_endpoint_shows_its_reason_and_last_words_and_leaves_nothing(aws: Account, fake: FakeAmazon) -> None:
    events: list[Event] = []
    fake.next_endpoint(["Creating", "Failed"], failure="did not pass the ping health check", logs=["one", "no model"])
    with pytest.raises(CloudError, match="Failed: did not pass the ping health check") as failed:
        put(aws, notify=events.append, ttl="1h", scheduler_role="S")
    assert failed.value.code == "Failed"
    assert [event.message for event in events if isinstance(event, LogLine)][-2:] == ["one", "no model"]
    assert remains(fake) == []


def test_it_expires_by_a_schedule_that_is_there_before_it(aws: Account, fake: FakeAmazon) -> None:
    with pytest.raises(UsageError, match="--scheduler-role"):
        put(aws, ttl="2h")
    assert remains(fake) == []
    made = put(aws, ttl="2h", scheduler_role="Expiry")
    order = [one for one in fake.operations() if one.startswith("Create")]
    assert order[-4:] == ["CreateModel", "CreateEndpointConfig", "CreateSchedule", "CreateEndpoint"]
    assert remains(fake) == [*ALL, "schedule charloom-mine"]
    schedule = boto3.client("scheduler").get_schedule(Name="charloom-mine")
    expires = from_tag(made.expires)
    assert expires is not None
    assert schedule["ScheduleExpression"] == f"at({expires:%Y-%m-%dT%H:%M:%S})"
    assert schedule["Target"]["RoleArn"] == "arn:aws:iam::123456789012:role/Expiry"
    assert json.loads(schedule["Target"]["Input"]) == {"EndpointName": "mine"}
    assert tags_of(aws, f"arn:aws:sagemaker:{aws.region}:123456789012:endpoint/mine")[EXPIRES] == made.expires


def test_it_grows_where_it_may(aws: Account, fake: FakeAmazon) -> None:
    put(aws, max_instances=3)
    assert targets() == ["scaling endpoint/mine/variant/AllTraffic"]
    (policy,) = boto3.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")[
        "ScalingPolicies"
    ]
    assert policy["PolicyType"] == "TargetTrackingScaling"


@pytest.mark.slow
@pytest.mark.parametrize(
    "operation", ["CreateModel", "CreateEndpointConfig", "CreateSchedule", "CreateEndpoint", "RegisterScalableTarget",
                  "PutScalingPolicy", "DescribeEndpoint"],
)  # fmt: skip
def test_whatever_is_refused_leaves_nothing(aws: Account, fake: FakeAmazon, operation: str) -> None:
    if operation == "DescribeEndpoint":  # not the first look, which asks whether the name is free
        fake.next_endpoint(["Creating", "InService"])
        put_first = aws.call

        def call(service: str, operation: str, **request: Any) -> Any:
            if operation == "create_endpoint":
                fake.refuse("DescribeEndpoint", "AccessDeniedException", "no")
            return put_first(service, operation, **request)

        aws.call = call  # type: ignore[method-assign]
    else:
        fake.refuse(operation, "AccessDeniedException", "no")
    with pytest.raises(CloudError, match="not allowed"):
        put(aws, ttl="1h", scheduler_role="S", max_instances=2)
    assert remains(fake) == []


def _interrupted(aws: Account, at: str, after: bool) -> Callable[..., Any]:
    send = aws.call

    def call(service: str, operation: str, **request: Any) -> Any:
        if operation == at:
            aws.call = send  # type: ignore[method-assign]
            if after:
                send(service, operation, **request)
            raise KeyboardInterrupt
        return send(service, operation, **request)

    return call


@pytest.mark.slow
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("at", ["create_model", "create_endpoint_config", "create_schedule", "create_endpoint"])
def test_ctrl_c_at_any_moment_leaves_nothing(aws: Account, fake: FakeAmazon, at: str, after: bool) -> None:
    aws.call = _interrupted(aws, at, after)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        put(aws, ttl="1h", scheduler_role="S")
    assert remains(fake) == []


def test_an_answer_that_is_lost_does_not_lose_the_endpoint(aws: Account, fake: FakeAmazon) -> None:
    """boto3 sends it again, and hears that it is there already: it is the one that was made a moment ago."""
    send = aws.call

    def call(service: str, operation: str, **request: Any) -> Any:
        if operation in ("create_model", "create_endpoint_config", "create_endpoint"):
            send(service, operation, **request)
        return send(service, operation, **request)

    aws.call = call  # type: ignore[method-assign]
    put(aws)
    assert remains(fake) == ALL


def test_an_endpoint_that_is_being_created_is_waited_for_before_it_is_deleted(
    aws: Account, fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amazon refuses to delete it; its configuration must not go first, or it hangs."""
    events: list[Event] = []
    fake.next_endpoint(["Creating"] * 4 + ["InService"])
    for _ in range(2):
        fake.refuse("DeleteEndpoint", "ValidationException", "Cannot update in-progress endpoint")
    looks = 0

    def look_once(*_: Any) -> None:
        nonlocal looks
        looks += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(deploying, "wait_in_service", look_once)
    with pytest.raises(KeyboardInterrupt):
        put(aws, ttl="1h", scheduler_role="S", notify=events.append)
    assert remains(fake) == []
    assert looks == 1
    deletions = [one for one in fake.operations() if one.startswith("Delete")]
    assert deletions == ["DeleteEndpoint"] * 3 + ["DeleteEndpointConfig", "DeleteModel", "DeleteSchedule"]
    assert any(isinstance(event, Notice) and "waiting for it" in event.message for event in events)


def test_what_cannot_be_taken_back_is_reported_and_its_schedule_stays(aws: Account, fake: FakeAmazon) -> None:
    events: list[Event] = []
    fake.next_endpoint(["Creating", "Failed"], failure="no")
    fake.refuse("DeleteEndpoint", "AccessDeniedException", "no", times=None)
    with pytest.raises(CloudError, match="is Failed: no"):
        put(aws, ttl="1h", scheduler_role="S", notify=events.append)
    assert remains(fake) == [*ALL, "schedule charloom-mine"]
    assert any(isinstance(one, Notice) and "charloom sagemaker delete mine" in one.message for one in events)


def test_a_name_that_is_taken_is_left_alone(aws: Account, fake: FakeAmazon) -> None:
    put(aws)
    with pytest.raises(UsageError, match="mine exists: give another --name"):
        put(aws)
    assert remains(fake) == ALL
    boto3.client("sagemaker").create_model(ModelName="theirs", ExecutionRoleArn=ROLE)
    with pytest.raises(UsageError, match="model theirs exists already"):
        put(aws, name="theirs")
    with pytest.raises(UsageError, match="single hyphens"):
        put(aws, name="a_b")
    assert remains(fake) == [*ALL, "model theirs"]


def test_somebody_who_is_faster_keeps_what_is_theirs(aws: Account, fake: FakeAmazon) -> None:
    send = aws.call

    def call(service: str, operation: str, **request: Any) -> Any:
        if operation == "create_endpoint_config":
            variants = request["ProductionVariants"]
            boto3.client("sagemaker").create_endpoint_config(EndpointConfigName="mine", ProductionVariants=variants)
        return send(service, operation, **request)

    aws.call = call  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="endpoint configuration mine exists already"):
        put(aws)
    assert remains(fake) == ["config mine"]


def test_what_an_expired_endpoint_left_makes_way(
    aws: Account, fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(aws, ttl="1h", scheduler_role="S")
    boto3.client("sagemaker").delete_endpoint(EndpointName="mine")  # as its schedule does
    boto3.client("scheduler").delete_schedule(Name="charloom-mine")
    with pytest.raises(UsageError, match="endpoint configuration mine exists already"):
        put(aws)  # its time is not over yet
    monkeypatch.setattr("charloom.sagemaker.hosting.delete.is_expired", lambda tags: True)
    events: list[Event] = []
    put(aws, notify=events.append)
    assert remains(fake) == ALL
    assert any(isinstance(event, Notice) and "has expired" in event.message for event in events)


def test_serverless_and_asynchronous(aws: Account, fake: FakeAmazon) -> None:
    made = put(aws, serverless=True, memory=3072, max_concurrency=7)
    assert (made.instance, made.per_hour) == ("serverless", None)
    put(aws, name="later", asynchronous=True)
    first, second = fake.requests("CreateEndpointConfig")
    assert first["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 7}
    output = second["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == f"s3://{default_bucket(aws)}/charloom/async/later/output/"


def test_quota_reached_and_role_without_trust_are_one_clear_line(aws: Account, fake: FakeAmazon) -> None:
    fake.refuse("CreateEndpoint", "ResourceLimitExceeded", "ml.c5.large for endpoint usage is 0 Instances")
    with pytest.raises(CloudError, match="a quota of the account is reached"):
        put(aws)
    fake.refuse("CreateModel", "ValidationException", "Could not assume role arn. Please ensure that the role exists")
    with pytest.raises(CloudError, match="trust policy"):
        put(aws)
    assert remains(fake) == []


def test_throttling_is_waited_out(aws: Account, fake: FakeAmazon) -> None:
    fake.refuse("CreateEndpoint", "ThrottlingException", "Rate exceeded", times=3)
    put(aws)
    assert remains(fake) == ALL


def test_a_model_alone_for_batches(aws: Account, fake: FakeAmazon) -> None:
    name = create_model(aws, DATA, role=ROLE, image="registry/image:1")
    assert remains(fake) == [f"model {name}"]
    fake.refuse("CreateModel", "AccessDeniedException", "no")
    with pytest.raises(CloudError, match="not allowed"):
        create_model(aws, DATA, role=ROLE, image="registry/image:1", name="other")
    assert remains(fake) == [f"model {name}"]


def test_a_network_that_goes_and_comes_back_loses_nothing(aws: Account, fake: FakeAmazon) -> None:
    fake.next_endpoint(["Creating", "Creating", "InService"])
    send, away = aws.call, iter([True, True, False, True, False])

    def call(service: str, operation: str, **request: Any) -> Any:
        if operation == "describe_endpoint" and "CreateEndpoint" in fake.operations() and next(away, False):
            raise CloudError("cannot reach Amazon Web Services", "EndpointConnectionError")
        return send(service, operation, **request)

    aws.call = call  # type: ignore[method-assign]
    put(aws)
    assert remains(fake) == ALL


def test_an_endpoint_that_vanishes_or_never_comes(
    aws: Account, fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.next_endpoint(["Creating"])
    monkeypatch.setattr(endpoint_states, "_PATIENCE", 0.2)
    with pytest.raises(CloudError, match="still Creating"):
        put(aws)
    assert remains(fake) == []
    sagemaker = boto3.client("sagemaker")
    monkeypatch.setattr(
        "charloom.sagemaker.hosting.states.time.sleep", lambda _: sagemaker.delete_endpoint(EndpointName="mine")
    )
    monkeypatch.setattr(endpoint_states, "_PATIENCE", 60)
    fake.next_endpoint(["Creating"])
    with pytest.raises(CloudError, match="deleted while it was being created"):
        put(aws)
    assert remains(fake) == []


def test_a_second_ctrl_c_leaves_it_and_says_so(aws: Account, fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    fake.next_endpoint(["Creating"])
    fake.refuse("DeleteEndpoint", "ValidationException", "Cannot update in-progress endpoint", times=None)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("charloom.sagemaker.hosting.states.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        put(aws, ttl="1h", scheduler_role="S", notify=events.append)
    assert remains(fake) == [*ALL, "schedule charloom-mine"]  # nothing it is made of goes before it
    last = events[-1]
    assert isinstance(last, Notice)
    assert "charloom sagemaker delete mine" in last.message


def test_what_was_made_is_taken_back_without_permission_to_read_tags(aws: Account, fake: FakeAmazon) -> None:
    fake.refuse("ListTags", "AccessDeniedException", "no", times=None)
    fake.next_endpoint(["Creating", "Failed"], failure="no")
    with pytest.raises(CloudError, match="is Failed"):
        put(aws)
    assert remains(fake) == []
