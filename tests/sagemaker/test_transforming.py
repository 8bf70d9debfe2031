"""Batches: the pretended Amazon really splits lines, sends them to our real server, and joins the answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import CloudError, UsageError
from charloom.events import Event, LogLine, StatusChanged
from charloom.runtime.model import Model
from charloom.sagemaker import EndpointSettings
from charloom.sagemaker.aws import Account, DryRun, Request
from charloom.sagemaker.batch_transform import stop_transform, transform, transform_status
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.transform_request import TransformSettings, transform_request
from tests.cli.conftest import Charloom, one_line

from .fake_amazon import FakeAmazon
from .validation import assert_valid

PROMPTS = ["The statement", "an apostrophe's “end”", "", "x\ny", "☃ 🙂", *(f"line {number}" for number in range(40))]


@pytest.fixture
def batch(fake: FakeAmazon, server: str, monkeypatch: pytest.MonkeyPatch) -> FakeAmazon:
    """A model whose requests our server answers, and two files of lines."""
    monkeypatch.setattr("charloom.sagemaker.batch_transform.POLL", 0.0)
    fake.connect_model("ours", server)
    lines = [json.dumps({"prompt": prompt, "max_tokens": 12, "seed": 4}) for prompt in PROMPTS]
    fake.put("s3://lines/in/a.jsonl", "\n".join(lines).encode() + b"\n")
    fake.put("s3://lines/in/more/b.jsonl", b'{"prompt": "b", "max_tokens": 2}\nnot json')
    return fake


def answers(fake: FakeAmazon, address: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in fake.get(address).splitlines()]


def test_a_line_in_a_line_out(batch: FakeAmazon, account: Account, model: Model) -> None:
    events: list[Event] = []
    done = transform(account, "ours", "s3://lines/in/", "s3://lines/out", notify=events.append)
    assert done.objects == ("s3://lines/out/a.jsonl.out", "s3://lines/out/more/b.jsonl.out")
    assert (done.status, done.model, done.output) == ("Completed", "ours", "s3://lines/out")
    texts = [line["choices"][0]["text"] for line in answers(batch, done.objects[0])]
    assert texts == [model.generate(prompt, length=12, seed=4).text for prompt in PROMPTS]
    second = answers(batch, done.objects[1])
    assert (len(second), second[1]["error"]["code"]) == (2, "invalid_json"), "a line that is wrong is answered too"
    assert [one.status for one in events if isinstance(one, StatusChanged)] == ["InProgress", "Completed"]


def test_scores(batch: FakeAmazon, account: Account, model: Model) -> None:
    (address,) = transform(account, "ours", "s3://lines/in/a.jsonl", "s3://lines/out/", score=True).objects
    assert address == "s3://lines/out/a.jsonl.out"
    for prompt, line in zip(PROMPTS, answers(batch, address), strict=True):
        assert line["text"] == prompt
        assert line["nats"] == pytest.approx(model.score(prompt + "\n").nats, rel=0.02, abs=1e-3)


def test_a_job_that_fails(batch: FakeAmazon, account: Account) -> None:
    batch.next_transform(failure="AlgorithmError: See job logs", logs=["loading", "out of memory"])
    events: list[Event] = []
    with pytest.raises(CloudError, match=r"failed: AlgorithmError: See job logs$"):
        transform(account, "ours", "s3://lines/in/", "s3://lines/out", notify=events.append)
    assert [one.message for one in events if isinstance(one, LogLine)] == ["loading", "out of memory"]
    batch.next_transform(failure="ClientError")
    with pytest.raises(CloudError, match="nothing was written to /aws/sagemaker/TransformJobs"):
        transform(account, "ours", "s3://lines/in/", "s3://lines/out")


def test_a_model_that_is_made_goes_with_the_job(
    batch: FakeAmazon, account: Account, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_model(aws: Account, model: object, choice: EndpointSettings, **options: Any) -> str:
        assert choice.role == "arn:aws:iam::123456789012:role/R"
        batch.connect_model("made", server)
        return "made"

    monkeypatch.setattr("charloom.sagemaker.hosting.deploy.make_model", make_model)
    place = ("s3://models/model.tar.gz", "s3://lines/in/a.jsonl", "s3://lines/out")
    assert transform(account, *place, role="R").model == "made"
    assert ("Model", "made") not in batch.taken
    batch.next_transform(failure="no")
    with pytest.raises(CloudError, match="failed: no"):
        transform(account, *place, role="R")
    assert ("Model", "made") not in batch.taken
    batch.refuse("CreateTransformJob", "ResourceLimitExceeded", "The account-level service limit is 0")
    with pytest.raises(CloudError, match="quota"):
        transform(account, *place, role="R")
    assert ("Model", "made") not in batch.taken
    assert transform(account, *place, role="R", wait=False).status == "InProgress"
    assert ("Model", "made") in batch.taken


def test_what_cannot_work_costs_nothing(batch: FakeAmazon, account: Account) -> None:
    for place, message in (
        (("ours", "lines/in", "s3://lines/out"), "is not an address in S3"),
        (("ours", "s3://lines/in/", "out"), "is not an address in S3"),
    ):
        with pytest.raises(UsageError, match=message):
            transform(account, *place)
    with pytest.raises(CloudError, match="there is nothing at s3://lines/nothing"):
        transform(account, "ours", "s3://lines/nothing", "s3://lines/out")
    for chosen, message in (
        ({"instance": "ml.p2.xlarge"}, "obsolete"),
        ({"instance": "large"}, "instance = 'large'"),
        ({"max_payload": 26}, "max-payload = 26"),
        ({"batch_timeout": "2h"}, "from a second to an hour"),
    ):
        with pytest.raises(UsageError, match=message):
            transform(account, "ours", "s3://lines/in/", "s3://lines/out", **chosen)
    assert "CreateTransformJob" not in batch.operations()


def test_stopping(batch: FakeAmazon, account: Account) -> None:
    batch.next_transform(["InProgress"])
    job = transform(account, "ours", "s3://lines/in/", "s3://lines/out", wait=False).job
    assert stop_transform(account, job)
    account.call("sagemaker", "describe_transform_job", TransformJobName=job)
    account.call("sagemaker", "describe_transform_job", TransformJobName=job)
    assert not stop_transform(account, job)  # stopped already
    assert transform_status(account, "nowhere") is None
    with pytest.raises(UsageError, match="single hyphens"):
        transform_status(account, "a_b")
    with pytest.raises(CloudError, match="Could not find"):
        stop_transform(account, "nowhere")


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 25), st.integers(1, 4), st.integers(1, 3600), st.booleans())
def test_amazon_accepts_every_request(instances: int, payload: int, at_once: int, seconds: int, score: bool) -> None:
    chosen = TransformSettings(
        instances=instances, max_payload=payload, concurrency=at_once, batch_timeout=f"{seconds}s"
    )
    request = transform_request("job", "model", S3Uri("in-bucket"), S3Uri("out-bucket", "a"), chosen, score=score)
    assert_valid("sagemaker", "create_transform_job", request)
    assert request["MaxPayloadInMB"] * request["MaxConcurrentTransforms"] <= 100, "Amazon's rule"


def test_a_dry_run_sends_nothing() -> None:
    shown: list[Request] = []
    transform(DryRun(shown.append, "eu-west-1"), "ours", "s3://lines/in", "s3://lines/out")
    assert [one.operation for one in shown] == [
        "list_objects_v2",
        "describe_model",
        "create_transform_job",
        "describe_transform_job",
    ]


def test_the_command(batch: FakeAmazon, cli: Charloom) -> None:
    base = ("sagemaker", "transform", "ours", "--input", "s3://lines/in/a.jsonl", "--output", "s3://lines/out")
    ran = cli(*base, "--score", "--yes", "--price", "0.5", "--instances", 2)
    assert (ran.status, ran.out) == (0, "s3://lines/out/a.jsonl.out\n"), ran.err
    assert "2 × ml.m5.large in eu-west-1: 1.00 USD an hour" in ran.err
    answer = cli(*base, "--generate", "--yes", "--json", "--name", "mine").json
    assert (answer["job"], answer["status"], answer["objects"]) == ("mine", "Completed", ["s3://lines/out/a.jsonl.out"])
    ran = cli(*base)
    assert ran.status == 2
    assert "--yes" in ran.err
    assert "not both" in one_line(cli(*base, "--generate", "--score"))
    ran = cli(*base, "--dry-run", "--json", "--quiet")
    assert [json.loads(line)["operation"] for line in ran.out.splitlines()][-2:] == [
        "CreateTransformJob",
        "DescribeTransformJob",
    ]
    assert batch.operations().count("CreateTransformJob") == 2


def test_mistakes_are_found_before_any_request(batch: FakeAmazon, cli: Charloom, trained: Path) -> None:
    place = ("--input", "s3://lines/in/a.jsonl", "--output", "s3://lines/out")
    for arguments, message in (
        (("ours", "--input", "a.jsonl", "--output", "s3://lines/out"), "'a.jsonl' is not an address in S3"),
        (("ours", *place, "--instance", "local"), "not an instance type"),
        (("ours", *place, "--instance", "ml.p3.2xlarge"), "take ml.c5.large"),
        (("ours", *place, "--name", "a_b"), "single hyphens"),
        ((trained, *place), "a role is needed"),
    ):
        ran = cli("sagemaker", "transform", *arguments)
        assert (ran.status, message in one_line(ran)) == (2, True), ran.err
    assert set(batch.operations()) <= {"GetCallerIdentity"}, "whose session it is, for its role"


def test_a_person_is_asked(batch: FakeAmazon, cli: Charloom, monkeypatch: pytest.MonkeyPatch) -> None:
    base = ("sagemaker", "transform", "ours", "--input", "s3://lines/in/a.jsonl", "--output", "s3://lines/out")
    said = iter([False, True, True])

    def agreed(out: object, question: str, *, yes: bool, about: str = "") -> bool:
        return yes or next(said)

    for module in ("consent", "transform"):
        monkeypatch.setattr(f"charloom.cli.sagemaker.{module}.ask_agreement", agreed)
    ran = cli(*base)
    assert (ran.status, "nothing was started" in ran.err) == (1, True)
    assert cli(*base).status == 0

    def interrupted(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    batch.next_transform(["InProgress"])
    monkeypatch.setattr("charloom.sagemaker.batch_transform.follow", interrupted)
    ran = cli(*base, "--name", "stopped", "--yes")
    assert (ran.status, "stopped is stopping" in ran.err) == (130, True)
    assert batch.transforms["stopped"].states == ["Stopping", "Stopped"]


@pytest.mark.slow
def test_a_batch_is_looked_at_and_stopped_by_its_name(
    batch: FakeAmazon, cli: Charloom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("charloom.sagemaker.cloudwatch.time.sleep", lambda seconds: None)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path))
    batch.next_transform(["InProgress"], logs=["loading"])
    place = ("--input", "s3://lines/in/a.jsonl", "--output", "s3://lines/out")
    started = cli("sagemaker", "transform", "ours", *place, "--name", "mine", "--instances", 2, "--no-wait", "--yes")
    assert "charloom sagemaker status mine" in started.err
    answer = cli("sagemaker", "status", "mine", "--json", "--price", "3600").json
    assert (answer["job"], answer["status"], answer["model"], answer["instances"]) == ("mine", "InProgress", "ours", 2)
    assert (answer["input"], answer["output"], answer["ended"]) == ("s3://lines/in/a.jsonl", "s3://lines/out", None)
    assert answer["price"] == pytest.approx(2 * answer["seconds"])
    shown = cli("sagemaker", "status", "mine").out
    assert re.search(r"^status   InProgress\nmachine  2 × ml\.m5\.large in eu-west-1$", shown, re.M), shown
    assert "price    unknown" in shown
    assert cli("sagemaker", "logs", "mine").out.endswith("loading\n")
    assert cli("sagemaker", "stop", "mine", "--json").json == {"job": "mine", "stopped": True, "region": "eu-west-1"}
    assert cli("sagemaker", "stop", "mine").out == "mine does not run in eu-west-1: there is nothing to stop\n"
    assert cli("sagemaker", "logs", "mine", "--follow").out.endswith("loading\n")
    assert cli("sagemaker", "status", "mine", "--json").json["status"] == "Stopped"
    for command in ("status", "stop"):
        assert "there is no job none in eu-west-1" in one_line(cli("sagemaker", command, "none"))
    batch.next_transform(failure="ClientError: too large")
    assert cli("sagemaker", "transform", "ours", *place, "--name", "failed", "--yes").status == 1
    assert "failure  ClientError: too large\n" in cli("sagemaker", "status", "failed").out


def test_an_interrupted_job_goes_on_where_there_is_no_terminal(
    batch: FakeAmazon, cli: Charloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("charloom.sagemaker.batch_transform.follow", interrupted)
    place = ("--input", "s3://lines/in/a.jsonl", "--output", "s3://lines/out", "--yes")
    ran = cli("sagemaker", "transform", "ours", *place, "--name", "going")
    assert (ran.status, "charloom sagemaker status going" in ran.err) == (130, True)
    assert batch.operations()[-1] == "CreateTransformJob"
