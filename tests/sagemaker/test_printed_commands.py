"""Every command that charloom prints works in any shell: it names the region and profile it is about, or this machine.

The story runs in one region with one profile; what it prints is run where another region is the default.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from charloom.sagemaker import JobStatus, batch_transform
from charloom.sagemaker.hosting import deploy as deploying
from charloom.sagemaker.hosting import resources, states
from charloom.sagemaker.jobs.start import TrainingRequest
from charloom.sagemaker.local.backend import Local
from tests.cli.conftest import Charloom, Ran

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_deploying import DATA
from .test_training_jobs import artifact, source  # noqa: F401

THERE = ("--region", REGION, "--profile", "work")
ROLES = ("--role", "R", "--image", "registry/image:1", "--yes")
SMALL = ("--yes", "--steps", "4", "--hidden-size", "8", "--threads", "1", "--device", "cpu", "--role", "R")
DEFAULT = "us-east-1"


@pytest.fixture(autouse=True)
def shell(fake: FakeAmazon, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAmazon:  # noqa: F811
    """A shell whose default is another region and another key than the profile's; nothing is waited for."""
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = work-key\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", DEFAULT)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for module in ("jobs.follow", "cloudwatch"):
        monkeypatch.setattr(f"charloom.sagemaker.{module}.time", SimpleNamespace(sleep=lambda seconds: None))
    for place in (states, batch_transform):
        monkeypatch.setattr(place, "POLL", 0)
    monkeypatch.setattr("charloom.sagemaker.jobs.start.pack_source", lambda folder: source)
    fake.put(DATA, b"archive")
    return fake


def printed(*ran: Ran) -> list[str]:
    """The commands in what was printed; that none is cut short is seen by their number."""
    text = "\n".join(one.out + one.err for one in ran)
    found = re.findall(r"charloom sagemaker [^\n]*?(?:--region \S+ --profile \w+|--here)", text)
    assert len(found) == text.count("charloom sagemaker "), text
    return found


def run_printed(cli: Charloom, fake: FakeAmazon, *ran: Ran) -> dict[str, Ran]:
    """Run what was printed in this shell; every request reaches the account of the story."""
    done = {}
    for command in printed(*ran):
        fake.calls.clear()
        done[command] = cli(*shlex.split(command)[1:])
        assert "Usage" not in done[command].err
        assert {(call.region, call.key) for call in fake.calls if call.service != "sts"} <= {(REGION, "work-key")}
        if "--here" not in command:
            assert fake.calls, command
    return done


@pytest.mark.slow
def test_an_endpoint_is_asked_and_deleted_where_it_is(cli: Charloom, shell: FakeAmazon, server: str) -> None:
    for options, kind in (((), "invoke mine --prompt 'The '"), (("--async",), "invoke mine --prompt 'The ' --async")):
        shell.next_endpoint(address=server)
        deployed = cli("sagemaker", "deploy", DATA, "--name", "mine", *ROLES, *options, *THERE)
        assert deployed.status == 0, deployed.err
        ask, delete = printed(deployed)[-2:]
        assert ask == f"charloom sagemaker {kind} --region {REGION} --profile work"
        assert cli(*shlex.split(delete)[1:]).out.startswith(f"mine: deleted in {REGION}: endpoint mine")
        assert boto3.client("sagemaker", region_name=REGION).list_endpoints()["Endpoints"] == []


@pytest.mark.slow
def test_the_next_steps_of_texts_and_jobs(
    cli: Charloom, shell: FakeAmazon, small_text: Path, artifact: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    uploaded = cli("sagemaker", "upload", small_text, *THERE)
    (train,) = printed(uploaded)
    shell.next_job(["Training"])
    words = shlex.split(train)  # all but -o runs/mine, which waits for the end
    started = cli(*words[1:4], *SMALL, "--name", "job", "--no-wait", *words[6:])
    assert started.status == 0, started.err
    shell.jobs["job"].artifact = artifact
    shell.jobs["job"].turn("Completed")
    done = run_printed(cli, shell, started)
    assert [ran.status for ran in done.values()] == [0]
    assert (tmp_path / "runs" / "mine" / "config.json").is_file()
    shell.next_job(failure="AlgorithmError: no", logs=["reading"])
    failed = cli("sagemaker", "train", words[3], *SMALL, "--name", "bad", *THERE)
    (logs,) = run_printed(cli, shell, failed).values()
    assert "reading" in logs.out


@pytest.mark.slow
def test_a_batch_is_looked_at_where_it_runs(cli: Charloom, shell: FakeAmazon, server: str) -> None:
    shell.connect_model("m", server)
    shell.put("s3://bucket/lines/a.jsonl", b'{"prompt": "The "}\n')
    options = ("--input", "s3://bucket/lines/", "--output", "s3://bucket/out", "--yes", "--no-wait", "--name", "batch")
    (status,) = run_printed(cli, shell, cli("sagemaker", "transform", "m", *options, *THERE)).values()
    assert "job      batch" in status.out


@pytest.mark.slow
def test_errors_lead_to_the_right_place(cli: Charloom, shell: FakeAmazon) -> None:
    deploy = ("sagemaker", "deploy", DATA, "--name", "mine", *ROLES, *THERE)
    assert cli(*deploy).status == 0
    wrong = [
        cli(*deploy),
        cli("sagemaker", "delete", "mime", *THERE),
        cli("sagemaker", "invoke", "mime", "--prompt", "a", *THERE),
        *(cli("sagemaker", command, "mime", *THERE) for command in ("status", "stop")),
        *(cli("sagemaker", command, "mine", *THERE) for command in ("status", "stop")),
    ]
    for ran in wrong:
        assert ran.status in (1, 2), ran
        assert len(printed(ran)) == 1, ran.err
    assert "mine is an endpoint in eu-west-1 (profile work), not a job" in wrong[-1].err
    assert all(ran.status == 0 for ran in run_printed(cli, shell, *wrong).values())


@pytest.mark.slow
def test_what_could_not_be_taken_back_is_deleted_by_what_is_printed(cli: Charloom, shell: FakeAmazon) -> None:
    shell.next_endpoint(["Creating", "Failed"], failure="no")
    shell.refuse("DeleteEndpoint", "AccessDeniedException", "no")
    failed = cli("sagemaker", "deploy", DATA, "--name", "mine", *ROLES, *THERE)
    assert "it may bill" in failed.err
    (deleted,) = run_printed(cli, shell, failed).values()
    assert "endpoint mine" in deleted.out


@pytest.mark.slow
def test_what_has_expired_is_reaped_where_it_is(
    cli: Charloom, shell: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "expires_at", lambda seconds: datetime.now(UTC) - timedelta(hours=1))
    monkeypatch.setattr(resources, "schedule_deletion", lambda *given: None)
    monkeypatch.setattr(deploying, "schedule_deletion", lambda *given: None)
    deploy = ("sagemaker", "deploy", DATA, "--name", "old", "--ttl", "1h", "--scheduler-role", "S", *ROLES, *THERE)
    assert cli(*deploy).status == 0
    (reaped,) = run_printed(cli, shell, cli("sagemaker", "list", *THERE)).values()
    assert reaped.out.startswith(f"old: deleted in {REGION}: endpoint old")


def test_a_job_of_this_machine_that_was_stopped_is_resumed_by_what_is_printed(
    cli: Charloom, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def stopped(self: Local, request: TrainingRequest, output: Path, **options: object) -> JobStatus:
        ran.append(request.job.name or "fresh")
        return JobStatus(ran[-1], "Stopped")

    monkeypatch.setattr(Local, "train", stopped)
    first = cli("sagemaker", "train", small_text, "--instance", "local", "--steps", "9", "-o", "odd name")
    assert first.status == 130
    again = first.err.splitlines()[-1].strip()
    assert again.startswith("charloom sagemaker train --name fresh ")
    assert cli(*shlex.split(again)[1:]).err.splitlines()[-1].strip() == again
    assert ran == ["fresh", "fresh"]


def test_a_package_is_what_is_deployed_next(cli: Charloom, trained: Path, tmp_path: Path) -> None:
    ran = cli("sagemaker", "package", trained, "-o", tmp_path / "my model.tar.gz", "--no-check")
    assert f"    charloom sagemaker deploy {shlex.quote(str(tmp_path / 'my model.tar.gz'))}\n" in ran.err
