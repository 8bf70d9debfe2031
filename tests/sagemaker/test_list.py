"""`list` finds what bills: endpoints and jobs, in the region that it names and in those that were used before."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from charloom.sagemaker import connect, list_jobs
from charloom.sagemaker.hosting import states
from tests.cli.conftest import Charloom, one_line

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_deploying import DATA
from .test_training_jobs import source  # noqa: F401

FAR = ("--region", "us-west-2")
ROLES = ("--role", "R", "--image", "registry/image:1", "--yes")


@pytest.fixture
def home(fake: FakeAmazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(states, "POLL", 0)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    for module in ("jobs.follow", "cloudwatch"):
        monkeypatch.setattr(f"charloom.sagemaker.{module}.time", SimpleNamespace(sleep=lambda seconds: None))
    fake.put(DATA, b"archive")
    return tmp_path / "home"


def deploy(cli: Charloom, name: str, *options: str) -> None:
    ran = cli("sagemaker", "deploy", DATA, "--name", name, *ROLES, *options)
    assert ran.status == 0, ran.err


@pytest.mark.slow
def test_what_is_in_another_region_is_found(
    cli: Charloom, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = cli("sagemaker", "list")
    assert (nothing.out, nothing.err) == ("", f"no endpoint or job of ours in {REGION}, nor on this machine\n")
    deploy(cli, "far", *FAR)
    deploy(cli, "near")
    listed = cli("sagemaker", "list", "--json")
    assert [json.loads(line)["name"] for line in listed.out.splitlines()] == ["near"]
    assert listed.json["kind"] == "endpoint"
    assert listed.json["region"] == REGION
    assert f"(in {REGION}, and on this machine)" in listed.err
    assert "warning: in us-west-2: 1 endpoint: charloom sagemaker list --region us-west-2\n" in listed.err
    assert "us-west-2" not in cli("sagemaker", "list", "--here").err
    mistaken = one_line(cli("sagemaker", "delete", "far"))
    assert mistaken.endswith(
        "an endpoint of that name was made in us-west-2: charloom sagemaker delete far --region us-west-2"
    )
    assert cli("sagemaker", "delete", "far", *FAR).status == 0
    assert "us-west-2" not in cli("sagemaker", "list").err, "nothing is left there"
    assert "test" not in (home / "account.jsonl").read_text("utf-8"), "no credentials"


@pytest.mark.slow
def test_a_place_that_cannot_be_asked_is_named(
    cli: Charloom, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[work]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    deploy(cli, "mine", "--profile", "work")
    credentials.write_text("[other]\naws_access_key_id = a\naws_secret_access_key = b\n")
    listed = cli("sagemaker", "list")
    assert listed.status == 0
    assert f"in {REGION} (profile work): was used before, and could not be asked" in listed.err
    assert f"charloom sagemaker list --region {REGION} --profile work\n" in listed.err
    (home / "account.jsonl").write_bytes(b"\xff\x00 no JSON\n[]\n{}\n")
    assert cli("sagemaker", "list").status == 0
    (home / "account.jsonl").unlink()
    (home / "account.jsonl").mkdir()
    assert cli("sagemaker", "list").status == 0
    assert cli("sagemaker", "delete", "mine").status == 0, "the record is an aid, and nothing depends on it"


@pytest.mark.slow
def test_jobs_are_listed_those_that_run_first(
    cli: Charloom, fake: FakeAmazon, home: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr("charloom.sagemaker.jobs.start.pack_source", lambda folder: source)
    fake.put("s3://texts/a/a.txt", b"a text")
    train = ("sagemaker", "train", "s3://texts/a/", "--role", "R", "--epochs", "1", "--yes")
    fake.next_job(["Training"])
    for name in ("runs", "ended"):
        ran = cli(
            *train, "--name", name, "--instance", "ml.m5.large", "--price", "0.1", *(["--no-wait"] * (name == "runs"))
        )
        assert ran.status == 0, ran.err
    fake.client("sagemaker").create_training_job(
        **(fake.jobs["runs"].request | {"TrainingJobName": "theirs", "Tags": []})
    )
    fake.jobs["theirs"] = fake.jobs["ended"]
    assert [(job.name, job.status) for job in list_jobs(connect())] == [("runs", "InProgress"), ("ended", "Completed")]
    assert [job.name for job in list_jobs(connect(), ended=False)] == ["runs"]
    head, first, second = cli("sagemaker", "list").out.splitlines()
    assert head.split()[0] == "JOB"
    assert (first.split()[:2], second.split()[:2]) == (["runs", "InProgress"], ["ended", "Completed"])
    lines = [json.loads(line) for line in cli("sagemaker", "list", "--json").out.splitlines()]
    assert [(line["kind"], line["name"], line["region"]) for line in lines] == [
        ("training", "runs", REGION), ("training", "ended", REGION)
    ]  # fmt: skip
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert f"in {REGION}: 1 running job: charloom sagemaker list --region {REGION}" in cli("sagemaker", "list").err
    output = tmp_path / "attached"
    for command, *needs in (("status",), ("stop",), ("logs",), ("attach", "-o", str(output))):
        advised = shlex.join(["charloom", "sagemaker", command, "runs", *needs, "--region", REGION])
        mistaken = one_line(cli("sagemaker", command, "runs", *needs))
        assert "in us-west-2: " in mistaken
        assert mistaken.endswith(f"a job of that name was started in {REGION}: {advised}")
    assert not output.exists()
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for command, *needs in (("status",), ("stop",), ("logs",), ("attach", "-o", str(output))):
        advised = shlex.join(["charloom", "sagemaker", command, "runs", *needs, "--region", REGION])
        unasked = one_line(cli("sagemaker", command, "runs", *needs))
        assert "cannot be asked: no region is set" in unasked
        assert unasked.endswith(f"a job of that name was started in {REGION}: {advised}")


@pytest.mark.slow
def test_an_endpoint_in_another_region_is_found_by_every_command(
    cli: Charloom, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(cli, "far", *FAR)
    made = "an endpoint of that name was made in us-west-2: charloom sagemaker"
    commands = {
        ("status", "far"): "list", ("stop", "far"): "list", ("attach", "far", "-o", str(tmp_path / "attached")): "list",
        ("logs", "far"): "logs far", ("invoke", "far", "--prompt", "a"): "invoke far", ("delete", "far"): "delete far",
    }  # fmt: skip
    for command, advised in commands.items():
        mistaken = one_line(cli("sagemaker", *command))
        assert f"in {REGION}: " in mistaken
        assert mistaken.endswith(f"{made} {advised} --region us-west-2"), command
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for command, advised in commands.items():
        unasked = one_line(cli("sagemaker", *command))
        assert "cannot be asked: no region is set" in unasked
        assert unasked.endswith(f"{made} {advised} --region us-west-2"), command
