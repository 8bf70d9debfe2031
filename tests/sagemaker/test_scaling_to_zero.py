"""Asynchronous endpoints that cost nothing while they are idle, by commands and what is then in the account."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.sagemaker.hosting.requests import configuration_request
from charloom.sagemaker.hosting.resources import alarm_request, policy_request, target_request, waking_request
from charloom.sagemaker.hosting.settings import EndpointSettings
from tests.cli.conftest import Charloom, one_line

from .fake_amazon import FakeAmazon
from .test_deploying import ALL, remains
from .test_endpoint_commands import DEPLOY, there  # noqa: F401
from .validation import assert_valid

IDLE = ("--async", "--instances", "0", "--max-instances", "2")


def alarms() -> list[dict[str, Any]]:
    return list(boto3.client("cloudwatch").describe_alarms()["MetricAlarms"])


def policies() -> dict[str, dict[str, Any]]:
    found = boto3.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")
    return {one["PolicyType"]: one for one in found["ScalingPolicies"]}


def test_it_rests_wakes_up_and_goes_with_all_that_belongs_to_it(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    deployed = cli(*DEPLOY, *IDLE, "--yes", "--price", "0.25", "--json")
    assert deployed.status == 0, deployed.err
    assert "ml.c5.large × 0 to 2 in eu-west-1: nothing while it is idle; grown, 0.5 USD an hour" in deployed.err
    assert (deployed.json["per_hour"], deployed.json["instances"]) == (0.0, 1)
    (configuration,) = there.requests("CreateEndpointConfig")
    assert configuration["ProductionVariants"][0]["InitialInstanceCount"] == 1, "Amazon takes no less"
    (target,) = boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    waking = policies()["StepScaling"]
    assert waking["StepScalingPolicyConfiguration"]["StepAdjustments"][0]["ScalingAdjustment"] == 1
    (alarm,) = [one for one in alarms() if one["MetricName"] == "HasBacklogWithoutCapacity"]
    assert alarm["AlarmActions"] == [waking["PolicyARN"]]
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "mine"}]
    assert remains(there) == [*ALL, "scaling endpoint/mine/variant/AllTraffic"]
    assert cli("sagemaker", "delete", "mine").status == 0
    assert remains(there) == []
    assert [one for one in alarms() if one["MetricName"] == "HasBacklogWithoutCapacity"] == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["RegisterScalableTarget", "PutScalingPolicy", "PutMetricAlarm"])
def test_whatever_is_refused_leaves_nothing(cli: Charloom, there: FakeAmazon, operation: str) -> None:  # noqa: F811
    there.refuse(operation, "AccessDeniedException", "no")
    ran = cli(*DEPLOY, *IDLE, "--yes")
    assert (ran.status, "not allowed" in ran.err) == (1, True), ran.err
    assert remains(there) == []
    assert alarms() == []


def test_an_idle_one_that_keeps_its_instances_is_said_to_cost(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    shown = cli(*DEPLOY, "--async", "--price", "0.1", "--dry-run").err
    assert "73.00 USD a month" in " ".join(shown.split())
    assert "idle or not (--instances 0 --max-instances 1: nothing while idle)" in " ".join(shown.split())


def test_only_what_can_wake_up_may_rest(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    for options in (
        ("--instances", "0"),
        ("--instances", "0", "--async"),
        ("--instances", "0", "--max-instances", "2"),
    ):
        refused = cli(*DEPLOY, *options, "--yes")
        assert (refused.status, "only such an endpoint wakes up again" in one_line(refused)) == (2, True)
    assert there.operations("sagemaker") == []


@settings(deadline=None)
@given(name=st.from_regex(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,31}", fullmatch=True), most=st.integers(1, 100))
def test_amazon_accepts_every_request(name: str, most: int) -> None:
    choice = EndpointSettings(asynchronous=True, instances=0, max_instances=most)
    assert_valid("application-autoscaling", "register_scalable_target", target_request(name, choice))
    for policy in (policy_request(name, choice), waking_request(name)):
        assert_valid("application-autoscaling", "put_scaling_policy", policy)
    arn = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:1:resource/sagemaker/e:policyName/p"
    assert_valid("cloudwatch", "put_metric_alarm", alarm_request(name, arn))
    assert_valid("sagemaker", "create_endpoint_config", configuration_request(name, name, choice, [], "s3://bucket/a"))


@pytest.mark.slow
def test_an_alarm_that_may_not_be_removed_is_said(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    assert cli(*DEPLOY, *IDLE, "--yes").status == 0
    there.refuse("DeleteAlarms", "AccessDenied", "no", status=403)
    ran = cli("sagemaker", "delete", "mine")
    assert (ran.status, "not allowed" in ran.err) == (1, True), ran.err
    assert remains(there) == [], "all else is gone"


@pytest.mark.slow
def test_what_an_expired_one_left_makes_way(
    cli: Charloom, there: FakeAmazon, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    """Its schedule deletes the endpoint alone: the alarm and the target must not meet the next one of that name."""
    assert cli(*DEPLOY, *IDLE, "--ttl", "1h", "--scheduler-role", "S", "--yes").status == 0
    boto3.client("sagemaker").delete_endpoint(EndpointName="mine")
    boto3.client("scheduler").delete_schedule(Name="charloom-mine")
    monkeypatch.setattr("charloom.sagemaker.hosting.delete.is_expired", lambda tags: True)
    assert cli(*DEPLOY, "--yes").status == 0
    assert remains(there) == ALL
    assert alarms() == []
