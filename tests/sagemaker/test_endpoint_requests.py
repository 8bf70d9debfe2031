"""Every request that can be built is one that Amazon's own description allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.sagemaker.aws import DryRun, Request, owner
from charloom.sagemaker.hosting.requests import configuration_request, endpoint_request, model_request
from charloom.sagemaker.hosting.resources import (
    MARK,
    expires_at,
    policy_request,
    schedule_name,
    schedule_request,
    target_request,
)
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.names import EXPIRES, OWNER, as_tag, from_tag, tags
from charloom.settings import validate

from .validation import assert_valid

ROLE = "arn:aws:iam::123456789012:role/Charloom"
NAMES = st.from_regex(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,31}", fullmatch=True)
TOPICS = st.sampled_from([None, "arn:aws:sns:eu-west-1:123456789012:topic"])


def _optional(**choices: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=choices)


CHOICES = _optional(
    instance=st.sampled_from(["ml.m5.large", "ml.c5.large", "ml.g5.xlarge"]),
    instances=st.integers(1, 100),
    max_instances=st.integers(1, 100),
    requests_per_instance=st.floats(0.1, 1e6),
    serverless=st.booleans(),
    memory=st.sampled_from(range(1024, 6145, 1024)),
    max_concurrency=st.integers(1, 200),
    asynchronous=st.booleans(),
    success_topic=TOPICS,
    error_topic=TOPICS,
    startup_timeout=st.integers(60, 3600),
    download_timeout=st.integers(60, 3600),
    subnets=st.just(["subnet-0123456789abcdef0"]),
    security_groups=st.just(["sg-0123456789abcdef0"]),
    isolated=st.booleans(),
    ttl=st.sampled_from(["15m", "2h", "30d", "365d"]),
)


@hypothesis_settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(CHOICES, NAMES, st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]))
def test_every_combination_of_choices_makes_valid_requests(choice: dict[str, Any], name: str, region: str) -> None:
    try:
        settings = validate(EndpointSettings, choice)
    except UsageError:
        assume(False)
        raise
    marks = tags(**{OWNER: ROLE, MARK: "0123456789abcdef", EXPIRES: "2026-11-25T10:00:00Z"})
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/charloom-serve:0.1.0"
    data = "s3://bucket/charloom/models/a/b/model.tar.gz"
    assert_valid("sagemaker", "create_model", model_request(name, image, data, ROLE, settings, marks, region))
    configuration = configuration_request(name, name, settings, marks, "s3://bucket/async")
    assert_valid("sagemaker", "create_endpoint_config", configuration)
    assert_valid("sagemaker", "create_endpoint", endpoint_request(name, name, marks))
    assert_valid("scheduler", "create_schedule", schedule_request(name, datetime.now(UTC), ROLE, region))
    assert_valid("application-autoscaling", "register_scalable_target", target_request(name, settings))
    assert_valid("application-autoscaling", "put_scaling_policy", policy_request(name, settings))
    (variant,) = configuration["ProductionVariants"]
    assert ("ServerlessConfig" in variant) == settings.serverless
    assert ("InstanceType" in variant) != settings.serverless
    assert ("AsyncInferenceConfig" in configuration) == settings.asynchronous


def test_a_model_says_where_the_four_functions_are() -> None:
    request = model_request("m", "image", "s3://bucket/model.tar.gz", ROLE, EndpointSettings(), tags(), "eu-west-1")
    environment = request["PrimaryContainer"]["Environment"]
    assert environment["SAGEMAKER_PROGRAM"] == "inference.py"
    assert environment["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert "EnableNetworkIsolation" not in request
    assert "VpcConfig" not in request


def test_a_schedule_deletes_the_endpoint_once_and_then_itself() -> None:
    moment = datetime(2026, 11, 25, 12, 30, 5, 999, tzinfo=timezone(timedelta(hours=2)))
    request = schedule_request("mine", moment, ROLE, "eu-west-1")
    assert request["ScheduleExpression"] == "at(2026-11-25T10:30:05)"
    assert request["ScheduleExpressionTimezone"] == "UTC"
    assert request["ActionAfterCompletion"] == "DELETE"
    assert request["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint"
    assert json.loads(request["Target"]["Input"]) == {"EndpointName": "mine"}
    assert "aws-cn" in schedule_request("mine", moment, ROLE, "cn-north-1")["Target"]["Arn"]


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.timezones()))
def test_a_moment_survives_its_tag(moment: datetime) -> None:
    later = expires_at(3600, moment)
    assert from_tag(as_tag(later)) == later
    assert abs((later - moment).total_seconds() - 3600) <= 1


def test_tags_that_are_no_moment_are_none() -> None:
    for text in (None, "", "tomorrow", "2026-13-01T00:00:00Z"):
        assert from_tag(text) is None


def test_every_endpoint_has_a_schedule_of_its_own() -> None:
    names = ["a" * 63, "a" * 62 + "b", "short"]
    schedules = {schedule_name(name) for name in names}
    assert len(schedules) == 3
    assert all(len(one) <= 64 and one.startswith("charloom-") for one in schedules)


def test_an_owner_fits_into_a_tag() -> None:
    class Caller(DryRun):
        caller = "arn:aws:sts::123456789012:assumed-role/A/me,you*" + "x" * 300

    shown: list[Request] = []
    assert owner(Caller(shown.append)).startswith("arn:aws:sts::123456789012:assumed-role/A/me-you-xxx")
    assert len(owner(Caller(shown.append))) == 256
    assert owner(DryRun(shown.append)) == "OWNER"
