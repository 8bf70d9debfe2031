"""Endpoints are listed with what they cost, and go with all that belongs to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from charloom.errors import CloudError, UsageError
from charloom.events import Event, Notice
from charloom.sagemaker import delete, deploy, deployed, endpoints, reap
from charloom.sagemaker.aws import Account
from charloom.sagemaker.hosting.delete import NO_ENDPOINT
from charloom.sagemaker.hosting.resources import Kind, remove

from .fake_amazon import FakeAmazon
from .test_deploying import ALL, DATA, ROLE, quick_account, remains


@pytest.fixture
def aws(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> Account:
    return quick_account(fake, monkeypatch)


def put(aws: Account, name: str = "mine", **choice: Any) -> None:
    deploy(aws, DATA, name=name, role=ROLE, image="registry/image:1", scheduler_role="S", **choice)


def theirs(name: str = "theirs") -> None:
    """An endpoint that charloom did not make."""
    sagemaker = boto3.client("sagemaker")
    variant = {"VariantName": "A", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


@pytest.mark.slow
def test_all_goes_and_again_is_no_mistake(aws: Account, fake: FakeAmazon) -> None:
    put(aws, ttl="1h", max_instances=2)
    removed = ("endpoint mine", "configuration mine", "model mine", "autoscaling", "schedule")
    assert delete(aws, "mine").removed == removed
    assert remains(fake) == []
    again = delete(aws, "mine")
    assert (again.removed, again.region) == ((), aws.region)
    assert again.gone.startswith("deleted from this machine on ")
    with pytest.raises(CloudError, match="there is no endpoint never-there in eu-west-1") as never:
        delete(aws, "never-there")
    assert never.value.code == NO_ENDPOINT


def test_what_was_deleted_by_somebody_else_was_there(aws: Account, fake: FakeAmazon) -> None:
    put(aws)
    kinds: tuple[Kind, ...] = ("endpoint", "endpoint_config", "model")
    for kind in kinds:
        remove(aws, kind, "mine")
    assert "deployed from this machine on " in delete(aws, "mine").gone


def test_what_the_schedule_left_goes_by_the_same_name(aws: Account, fake: FakeAmazon) -> None:
    put(aws, ttl="1h")
    boto3.client("sagemaker").delete_endpoint(EndpointName="mine")
    assert delete(aws, "mine").removed == ("configuration mine", "model mine", "schedule")
    assert remains(fake) == []


def test_what_is_not_ours_is_left_alone(aws: Account, fake: FakeAmazon) -> None:
    theirs()
    with pytest.raises(UsageError, match="was not made by charloom: --force"):
        delete(aws, "theirs")
    assert remains(fake) == ["endpoint theirs", "config theirs", "model theirs"]
    done = delete(aws, "theirs", force=True)
    assert done.removed == ("endpoint theirs",)
    assert "configuration theirs" in done.left
    assert remains(fake) == ["config theirs", "model theirs"]
    assert delete(aws, "theirs").left == ("configuration theirs", "model theirs")
    assert remains(fake) == ["config theirs", "model theirs"]


def test_one_refusal_does_not_keep_the_rest(aws: Account, fake: FakeAmazon) -> None:
    put(aws, ttl="1h")
    fake.refuse("DeleteEndpointConfig", "AccessDeniedException", "no")
    with pytest.raises(CloudError, match="not allowed: sagemaker:DeleteEndpointConfig"):
        delete(aws, "mine")
    assert remains(fake) == ["config mine"]
    assert delete(aws, "mine").removed == ("configuration mine",)


def test_endpoints_are_listed_with_age_price_and_expiry(aws: Account, fake: FakeAmazon) -> None:
    put(aws, "known", price=0.5, instances=2, ttl="3h")
    put(aws, "unknown", instance="ml.m5.large")
    put(aws, "idle", serverless=True)
    theirs()
    later = datetime.now(UTC) + timedelta(hours=2)
    known, unknown, idle = sorted(endpoints(aws, now=later), key=lambda one: "kui".index(one.name[0]))
    assert (known.status, known.instance, known.instances) == ("InService", "ml.c5.large", 2)
    assert known.per_hour == 1.0
    assert known.so_far == pytest.approx(2.0, abs=0.05)
    assert known.age == pytest.approx(7200, abs=120)
    assert known.expires is not None
    assert not known.expired
    assert known.owner.startswith("arn:aws:")
    assert (unknown.per_hour, unknown.so_far, unknown.expires) == (None, None, None)  # not zero
    assert (idle.instance, idle.instances, idle.so_far) == ("serverless", None, None)
    assert all(one.expired for one in endpoints(aws, now=later + timedelta(hours=2)) if one.name == "known")


@pytest.mark.slow
def test_what_has_expired_is_reaped_and_nothing_else(aws: Account, fake: FakeAmazon) -> None:
    put(aws, "short", ttl="1h")
    put(aws, "long", ttl="1d")
    put(aws, "ever")
    put(aws, "gone", ttl="1h")
    theirs()
    boto3.client("sagemaker").delete_endpoint(EndpointName="gone")  # by its schedule, which leaves the rest
    assert reap(aws) == []
    kept = [*remains(fake)]
    assert "config gone" in kept
    reaped = reap(aws, now=datetime.now(UTC) + timedelta(hours=2))
    assert {one.name for one in reaped} == {"short", "gone"}
    assert remains(fake) == [one for one in kept if one.split("-")[-1].split()[-1] not in ("short", "gone")]


def test_reaping_goes_on_after_a_refusal(aws: Account, fake: FakeAmazon) -> None:
    put(aws, "a", ttl="1h")
    put(aws, "b", ttl="1h")
    fake.refuse("DeleteEndpoint", "AccessDeniedException", "no")
    events: list[Event] = []
    with pytest.raises(CloudError, match="1 could not be deleted: "):
        reap(aws, now=datetime.now(UTC) + timedelta(hours=2), notify=events.append)
    assert len(boto3.client("sagemaker").list_endpoints()["Endpoints"]) == 1
    assert any(isinstance(one, Notice) and "not allowed" in one.message for one in events)


@pytest.mark.slow
@pytest.mark.parametrize("raised", [None, ValueError, KeyboardInterrupt])
def test_a_block_deletes_its_endpoint_whatever_happens(
    aws: Account, fake: FakeAmazon, raised: type[BaseException] | None
) -> None:
    def use() -> None:
        with deployed(aws, DATA, name="mine", role=ROLE, image="registry/image:1") as endpoint:
            assert endpoint.name == "mine"
            assert remains(fake) == ALL
            if raised is not None:
                raise raised

    if raised is None:
        use()
    else:
        with pytest.raises(raised):
            use()
    assert remains(fake) == []


def test_a_blocks_own_error_is_the_one_that_is_seen(aws: Account, fake: FakeAmazon) -> None:
    events: list[Event] = []

    def fail() -> None:
        with deployed(aws, DATA, name="mine", role=ROLE, image="registry/image:1", notify=events.append):
            fake.refuse("DeleteEndpoint", "AccessDeniedException", "no")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert any(isinstance(one, Notice) and "charloom sagemaker delete mine" in one.message for one in events)
