from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from charloom.errors import CorpusError, UsageError
from charloom.sagemaker.aws import DryRun
from charloom.sagemaker.instances import gpus, has_gpu, refuse_unfit, training_image
from charloom.sagemaker.jobs.request import (
    LONGEST,
    JobSettings,
    TrainingJob,
    encode_values,
    hyperparameters,
    plan_job,
    training_job_request,
)
from charloom.sagemaker.jobs.start import TrainingRequest
from charloom.settings import RunSettings, run_settings

from .validation import assert_valid

ACCOUNT = "123456789012"
MACHINES = ["ml.m5.large", "ml.c5.xlarge", "ml.g4dn.xlarge", "ml.g5.12xlarge", "ml.g6.xlarge", "ml.p4d.24xlarge"]
REGIONS = ["us-east-1", "eu-west-1", "eu-south-1", "cn-north-1", "us-gov-west-1", "ap-southeast-7"]
NAMES = some.from_regex(r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,30}", fullmatch=True)
DURATIONS = some.builds(lambda n, unit: f"{n}{unit}", some.integers(1, 500), some.sampled_from("smh"))
TEXTS = some.text(some.characters(exclude_categories=["Cs"]), max_size=60)


class Here(DryRun):
    """A dry run that knows its account, so that Amazon's patterns can be checked."""

    @property
    def account_id(self) -> str:
        return ACCOUNT


@settings(max_examples=60, deadline=None)
@given(
    asked=some.fixed_dictionaries(
        {"instance": some.sampled_from(MACHINES)},
        optional={
            "instances": some.integers(1, 100),
            "max_runtime": DURATIONS,
            "role": some.sampled_from(["R", "arn:aws:iam::123456789012:role/path/R", "service-role/a+b=c,d.e@f-g_h"]),
            "name": NAMES,
            "bucket": some.sampled_from(["bucket", "a.b-c", "x" * 63]),
            "image": some.sampled_from(["123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:b"]),
            "volume": some.integers(1, 16_384),
            "checkpoints": some.sampled_from(["s3://bucket/a", "s3://bucket/a/"]),
            "price": some.floats(0, 100),
        },
    ),
    network=some.sampled_from(
        [
            {},
            {"subnets": ["subnet-0a"] * 16, "security_groups": ["sg-0b"] * 5},
            {"subnets": ["s"], "security_groups": ["g"]},
        ]
    ),
    spot=some.booleans(),
    wait=some.booleans(),
    options=some.fixed_dictionaries(
        {},
        optional={
            "cell": some.sampled_from(["rnn", "lstm", "gru"]),
            "epochs": some.floats(0.1, 100),
            "hidden_size": some.integers(1, 16_384),
            "window_dropout": some.booleans(),
            "seed": some.integers(0, 2**63 - 1),
            "clean": some.lists(some.sampled_from(["nfc", "lowercase", "article"]), max_size=3),
            "encoding": TEXTS,
            "learning_rate": some.floats(1e-6, 1),
        },
    ),
    recipe=some.sampled_from([None, "tiny", "article"]),
    region=some.sampled_from(REGIONS),
    channels=some.sets(some.sampled_from(["validation", "model"])),
)
def test_every_job_that_can_be_asked_for_is_one_that_amazon_takes(
    asked: dict[str, Any],
    network: dict[str, list[str]],
    spot: bool,
    wait: bool,
    options: dict[str, Any],
    recipe: str | None,
    region: str,
    channels: set[str],
) -> None:
    aws = Here(lambda request: None, region)
    wanted = JobSettings(**asked, **network, spot=spot, **({"max_wait": "100d"} if spot and wait else {}))
    job = plan_job(aws, wanted, run_settings(RunSettings(), options), recipe)
    filled = {name: f"s3://bucket/{name}/" for name in ("training", *channels)}
    job = TrainingJob(**{**vars(job), "channels": filled, "source": "s3://bucket/source.tar.gz"})
    request = training_job_request(job)
    assert_valid("sagemaker", "create_training_job", request)
    sent = {name: json.loads(value) for name, value in request["HyperParameters"].items()}
    for name, value in options.items():
        if value != []:
            expected = ",".join(value) if isinstance(value, list) else value
            assert sent[name.replace("_", "-")] == expected
    stopping = request["StoppingCondition"]
    assert spot == ("MaxWaitTimeInSeconds" in stopping)
    assert stopping.get("MaxWaitTimeInSeconds", 10**9) >= stopping["MaxRuntimeInSeconds"]
    assert request["CheckpointConfig"]["S3Uri"].startswith("s3://")
    vpc = request.get("VpcConfig", {})
    assert (vpc.get("Subnets"), vpc.get("SecurityGroupIds")) == (network.get("subnets"), network.get("security_groups"))


@given(some.dictionaries(some.text(string.ascii_lowercase, min_size=1, max_size=8), TEXTS, max_size=5))
def test_quotes_apostrophes_newlines_and_emoji_survive(values: dict[str, str]) -> None:
    values["all"] = """it's "so"\n\\ $(x) `y` 🎈 \u2028 é"""
    assert {name: json.loads(text) for name, text in encode_values(values).items()} == values


def test_what_amazon_would_not_take_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=f"--text has {LONGEST + 1:,} characters: SageMaker takes {LONGEST:,}"):
        encode_values({"text": "x" * (LONGEST - 1)})
    encode_values({"text": "x" * (LONGEST - 2)})
    with pytest.raises(UsageError, match="101 hyperparameters: SageMaker takes 100"):
        encode_values({f"a{number}": 1 for number in range(101)})
    with pytest.raises(UsageError, match="surrogate"):
        encode_values({"text": "\ud800"})
    with pytest.raises(UsageError, match="hidden-size = 0"):
        TrainingRequest.parse("text", None, None, {"hidden_size": 0})
    with pytest.raises(UsageError, match="no option called 'nonsense'"):
        TrainingRequest.parse("text", None, None, {"nonsense": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(UsageError, match="track cannot be set"):
        hyperparameters(run_settings(RunSettings(), {"track": ["mlflow"]}))
    with pytest.raises(UsageError, match="no such recipe: grand; choose article, base"):
        hyperparameters(RunSettings(), "grand")


def test_a_recipe_of_ones_own_is_sent_setting_by_setting(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("corpus: {clean: [nfc, lowercase]}\nmodel: {cell: gru, num_layers: 2}\ntraining: {epochs: 9}\n")
    found = hyperparameters(run_settings(RunSettings(), {"num_layers": 3, "steps": 10}), str(recipe))
    sent = {name.replace("-", "_"): json.loads(value) for name, value in found.items()}
    assert sent == {"clean": "nfc,lowercase", "cell": "gru", "num_layers": 3, "steps": 10}
    assert run_settings(RunSettings(), {**sent, "clean": [sent["clean"]]}).corpus.clean == ["nfc", "lowercase"]


def planned_with(**asked: Any) -> TrainingJob:
    options = asked.pop("options", {})
    return plan_job(
        Here(lambda request: None, "eu-west-1"), JobSettings(**asked), run_settings(RunSettings(), options), None
    )


def test_times() -> None:
    def times(**asked: Any) -> tuple[int, int]:
        job = planned_with(**asked)
        return job.max_runtime, job.max_wait

    assert times() == (3600, 7200)
    assert times(options={"budget": "2h"}) == (9000, 18_000)
    assert times(max_runtime="90s") == (90, 3690)
    assert times(max_runtime="2h", spot=True, max_wait="3h") == (7200, 10_800)
    for wrong, message in (
        ({"options": {"budget": "2h"}, "max_runtime": "1h"}, "does not fit"),
        ({"max_wait": "3h"}, "for --spot"),
        ({"max_runtime": "2h", "spot": True, "max_wait": "1h"}, "less than the longest"),
        ({"max_runtime": "29d"}, "28 days"),
    ):
        with pytest.raises(UsageError, match=message):
            planned_with(**wrong)


def test_names_and_places_that_cannot_be() -> None:
    for wrong in (
        {"name": "a--"},
        {"name": "x" * 64},
        {"checkpoints": "/tmp"},
        {"bucket": "a b"},
        {"bucket": "a/../b"},
    ):
        with pytest.raises(UsageError):
            planned_with(**wrong) if wrong != {"bucket": "a/../b"} else planned_with(bucket="?")
    with pytest.raises(CorpusError, match="there is no such file"):
        planned_with(options={"validation": "/nonexistent"})


def test_several_processes_are_started_by_torchrun() -> None:
    several = {"sagemaker_torch_distributed_enabled", "sagemaker_distribution_instance_groups"}
    for asked, expected in (
        ({"instance": "ml.m5.large"}, False),
        ({"instance": "ml.g5.xlarge"}, False),
        ({"instance": "ml.m5.large", "instances": 2}, True),
        ({"instance": "ml.g5.12xlarge"}, True),
    ):
        sent = training_job_request(planned_with(**asked))["HyperParameters"]
        assert (several <= set(sent)) is expected
        assert not expected or json.loads(sent["sagemaker_distribution_instance_groups"]) == ["homogeneousCluster"]


def test_images_by_region_and_machine() -> None:
    assert training_image("us-east-1", "ml.m5.large") == (
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker"
    )
    assert training_image("eu-south-1", "ml.g5.xlarge") == (
        "692866216735.dkr.ecr.eu-south-1.amazonaws.com/pytorch:2.13-cu133-amzn2023-sagemaker"
    )
    assert training_image("cn-north-1", "ml.m5.large").startswith("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/")
    assert training_image("us-gov-west-1", "ml.m5.large").startswith(
        "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com/"
    )
    with pytest.raises(UsageError, match="'mars-1': give the image with --image"):
        training_image("mars-1", "ml.m5.large")


def test_machines() -> None:
    counts = {"ml.m5.large": 0, "ml.g4dn.xlarge": 1, "ml.g5.48xlarge": 8, "ml.g6e.12xlarge": 4, "ml.p5.48xlarge": 8}
    assert {name: gpus(name) for name in counts} == counts
    assert gpus("ml.p4d.24xlarge") == 8
    assert has_gpu("ml.g6.xlarge")
    for name in ("ml.m5.large", "ml.g5.xlarge", "ml.p4d.24xlarge", "ml.c7i.4xlarge"):
        refuse_unfit(name, "training")
    for name, message in (
        ("ml.p2.xlarge", "take ml.g4dn.xlarge"),
        ("ml.p3.16xlarge", "take ml.g5"),
        ("ml.trn1.2xlarge", "chips of Amazon's own"),
        ("m5.large", "not an instance type"),
        ("ml.m5.large; rm", "not an instance type"),
    ):
        with pytest.raises(UsageError, match=message):
            refuse_unfit(name, "training")
