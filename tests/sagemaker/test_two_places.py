"""One name here and in the account: every command says where it acts, and what of that name is elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

import charloom.sagemaker
from charloom.sagemaker.creations import note_created
from charloom.sagemaker.hosting import states
from charloom.sagemaker.local.endpoints import delete_here
from tests.cli.conftest import Charloom, one_line

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_deploying import DATA

DEPLOY = ("sagemaker", "deploy", DATA, "--name", "both", "--role", "R", "--image", "registry/image:1", "--yes")


@pytest.fixture
def there(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAmazon]:
    monkeypatch.setattr(states, "POLL", 0)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    fake.put(DATA, b"archive")
    yield fake
    delete_here("both")


def deploy_here(cli: Charloom, model: Path) -> str:
    ran = cli("sagemaker", "deploy", model, "--instance", "local", "--name", "both")
    assert ran.status == 0, ran.err
    return ran.err


def in_account() -> list[str]:
    return [one["EndpointName"] for one in boto3.client("sagemaker").list_endpoints()["Endpoints"]]


@pytest.mark.slow
def test_what_bills_is_not_taken_for_deleted(cli: Charloom, there: FakeAmazon, trained: Path, server: str) -> None:
    deploy_here(cli, trained)
    there.next_endpoint(address=server)
    deployed = cli(*DEPLOY)
    assert "this machine has an endpoint both too: commands without --region" in deployed.err
    dry = cli("sagemaker", "delete", "both", "--dry-run", "--json")
    assert (dry.status, dry.out) == (0, "")
    assert "on this machine: the endpoint both would be deleted" in dry.err
    asked = cli("sagemaker", "invoke", "both", "--prompt", "The ", "--length", "5")
    assert "on this machine)" in asked.err
    assert f"note: an endpoint both was made in {REGION} too" in asked.err
    assert f"in {REGION})" in cli("sagemaker", "invoke", "both", "--length", "5", "--region", REGION).err
    deleted = cli("sagemaker", "delete", "both")
    assert deleted.out == "both: deleted on this machine: endpoint both\n"
    warning = (
        f"warning: an endpoint both runs (InService) in {REGION} too, and bills until charloom sagemaker delete both"
    )
    assert f"{warning} --region {REGION}\n" in deleted.err
    assert in_account() == ["both"]
    there.calls.clear()
    warned = deploy_here(cli, trained)
    assert warning in warned
    gone = cli("sagemaker", "delete", "both", "--region", REGION, "--json").json
    assert (gone["region"], gone["removed"][0], gone["elsewhere"]) == (REGION, "endpoint both", [])
    assert in_account() == []
    here = cli("sagemaker", "delete", "both", "--json").json
    assert (here["region"], here["removed"], here["elsewhere"]) == ("local", ["endpoint both"], [])


def test_only_one_place_is_meant(cli: Charloom, there: FakeAmazon, trained: Path) -> None:
    assert "there is no endpoint both on this machine" in one_line(cli("sagemaker", "delete", "both", "--here"))
    assert "leave one out" in one_line(cli("sagemaker", "delete", "both", "--here", "--region", REGION))
    deploy_here(cli, trained)
    there.calls.clear()
    for command in (["status"], ["stop"], ["attach", "-o", "m"], ["delete", "--job"]):
        refused = cli("sagemaker", command[0], "both", *command[1:])
        assert "both is an endpoint of this machine, not a job" in one_line(refused), command
    assert cli("sagemaker", "invoke", "both", "--here", "--length", "5", "--quiet").status == 0
    assert cli("sagemaker", "delete", "both", "--here", "--quiet").status == 0
    assert there.calls == [], "no account is asked"


@pytest.mark.slow
def test_a_job_of_this_machine_is_listed_and_removed(
    cli: Charloom, there: FakeAmazon, small_text: Path, tmp_path: Path
) -> None:
    small = ("--hidden-size", "8", "--threads", "1", "--device", "cpu", "-o", tmp_path / "model", "--overwrite")
    train = ("sagemaker", "train", small_text, "--instance", "local", "--name", "both", *small)
    assert cli(*train, "--steps", "2").status == 0
    assert re.search(r"^both +Completed +local × 1 +\d+ min +0 USD$", cli("sagemaker", "list", "--here").out, re.M)
    (listed,) = [json.loads(line) for line in cli("sagemaker", "list", "--json").out.splitlines()]
    assert (listed["kind"], listed["name"], listed["region"]) == ("training", "both", "local")
    there.calls.clear()
    assert "was started" not in cli(*train, "--steps", "2").err
    sagemaker = charloom.sagemaker.connect()
    note_created(sagemaker, "training", "both")
    for dry in ((), ("--dry-run",)):
        again = cli(*train, "--steps", "2", *dry)
        assert again.status == 0, again.err
        assert (
            f"note: a job both was started in {REGION} too: charloom sagemaker stop both --region {REGION}" in again.err
        )
    assert there.calls == [], "a job of this machine asks no account"
    taken = cli(*train, "--steps", "3")
    assert "there is a job both already" in taken.err
    refused = one_line(cli("sagemaker", "delete", "both"))  # an endpoint is meant: nothing is removed by mistake
    assert "both is a job of this machine: charloom sagemaker delete both --job --here" in refused
    assert cli("sagemaker", "delete", "both", "--job").out == "both: deleted on this machine: job both\n"
    again = cli("sagemaker", "delete", "both", "--job")
    assert (again.status, "there is no job both on this machine" in one_line(again)) == (1, True)
    assert "no job both on this machine" in one_line(cli("sagemaker", "status", "both", "--here"))
    assert "Amazon keeps jobs" in one_line(cli("sagemaker", "delete", "both", "--job", "--region", REGION))
