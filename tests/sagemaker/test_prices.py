from __future__ import annotations

import json
from importlib.resources import files

import pytest

from charloom.errors import UsageError
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.instances import price_note, price_per_hour, shown_price
from charloom.settings import validate


def test_prices_are_the_tables_or_the_users_or_unknown() -> None:
    assert price_per_hour("ml.m5.large", "us-east-1") == 0.115
    assert price_per_hour("ml.g4dn.xlarge", "us-east-1", kind="training") == 0.736
    assert price_per_hour("ml.c5.large", "us-east-1", kind="training") is None  # the table has it for hosting alone
    assert price_per_hour("ml.m5.large", "eu-west-1") is None
    assert price_per_hour("ml.m5.large", "eu-west-1", 0.2) == 0.2
    assert price_per_hour("ml.m7i.large", "us-east-1") is None
    assert "0.115 USD an hour in us-east-1" in price_note("ml.m5.large", "eu-west-1")
    assert shown_price(None) == "unknown"
    assert shown_price(0.00012) == "< 0.01 USD"
    assert shown_price(0) == "0 USD"


def test_the_table_is_dated_has_its_source_and_no_price_of_nothing() -> None:
    table = json.loads(files("charloom.sagemaker").joinpath("prices.json").read_text("utf-8"))
    assert table["as_of"]
    assert table["source"]
    prices = [one for region in table["regions"].values() for kinds in region.values() for one in kinds.values()]
    assert prices
    assert all(price > 0 for price in prices)


def test_what_an_endpoint_costs_is_said_by_the_hour_and_the_month() -> None:
    cost = EndpointSettings(instances=2, max_instances=4).cost("us-east-1")
    assert (cost.per_hour, cost.most_per_hour) == (0.204, 0.408)
    assert cost.per_month == pytest.approx(148.92)
    assert "0.204 USD an hour, 148.92 USD a month (730 h); grown, 0.408 USD an hour" in cost.stated("it")
    for settings in (EndpointSettings(instance="ml.m7i.large"), EndpointSettings(serverless=True)):
        cost = settings.cost("us-east-1")
        assert cost.per_month is None
        assert cost.most_per_month is None
        assert "price unknown" in cost.stated("it")
    assert EndpointSettings(instance="ml.m7i.large", price=0.5, instances=2).cost("x").per_hour == 1.0


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"instance": "ml.p3.2xlarge"}, "obsolete"),
        ({"instance": "large"}, "not an instance type"),
        ({"serverless": True, "instance": "ml.m5.large"}, "--serverless and --instance"),
        ({"serverless": True, "asynchronous": True}, "--serverless and --async"),
        ({"serverless": True, "price": 1}, "--serverless and --price"),
        ({"memory": 1500}, "5120"),
        ({"memory": 7168}, "6,144 or less"),
        ({"max_instances": 1, "instances": 2}, "below"),
        ({"subnets": ["subnet-1"]}, "go together"),
        ({"success_topic": "arn:aws:sns:a"}, "needs --async"),
        ({"ttl": "5m"}, "15m at least"),
        ({"ttl": "2y"}, "such as 30s"),
        ({"ttl": "400d"}, "a year at most"),
        ({"price": 0}, "more than 0"),
        ({"price": float("nan")}, "finite"),
    ],
)
def test_choices_that_cannot_work_are_refused_in_a_line(choice: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        validate(EndpointSettings, choice)
    assert "\n" not in str(refused.value)
