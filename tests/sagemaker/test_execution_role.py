"""Which role jobs and endpoints run under where none is named: a notebook's own, as the SageMaker SDK finds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.conftest import Charloom, one_line

from .fake_amazon import FakeAmazon

ACCOUNT = "arn:aws:iam::123456789012"
DEPLOY = ["sagemaker", "deploy", "s3://bucket/model.tar.gz", "--name", "mine", "--instance", "ml.m5.large", "--yes"]


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A substitute for /opt/ml, whether this machine has one or not."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def amazon(fake: FakeAmazon) -> FakeAmazon:
    fake.put("s3://bucket/model.tar.gz", b"\x1f\x8b not looked into")
    return fake


def assume(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch, name: str, *, path: str = "/", trusts: str) -> None:
    """From now on the credentials are a session of this role."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}]}
    fake.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))
    arn = f"{ACCOUNT}:role{path}{name}"
    given = fake.client("sts").assume_role(RoleArn=arn, RoleSessionName="SageMaker")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
    boto3.DEFAULT_SESSION = None


def write_metadata(notebook: Path, content: Any) -> None:
    (notebook / "metadata").mkdir()
    (notebook / "metadata/resource-metadata.json").write_text(json.dumps(content))


def role_of_the_model(fake: FakeAmazon) -> str:
    (request,) = fake.requests("CreateModel")
    return str(request["ExecutionRoleArn"])


@pytest.mark.slow
def test_a_session_whose_role_sagemaker_may_assume(
    cli: Charloom, amazon: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assume(amazon, monkeypatch, "Notebook", path="/service-role/", trusts="sagemaker.amazonaws.com")
    ran = cli(*DEPLOY)
    assert ran.status == 0, ran.err
    assert role_of_the_model(amazon) == f"{ACCOUNT}:role/service-role/Notebook"


@pytest.mark.slow
def test_a_role_that_is_named_comes_first(cli: Charloom, amazon: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(amazon, monkeypatch, "Notebook", trusts="sagemaker.amazonaws.com")
    assert cli(*DEPLOY, "--role", "Named").status == 0
    assert role_of_the_model(amazon) == f"{ACCOUNT}:role/Named"
    assert "GetRole" not in amazon.operations()


def test_a_session_of_another_kind_still_needs_a_role(
    cli: Charloom, amazon: FakeAmazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a person who signed in by SSO: SageMaker could not assume that role."""
    assert cli(*DEPLOY).status == 2, "a user's own keys"
    assume(amazon, monkeypatch, "AWSReservedSSO_Admin", trusts="ec2.amazonaws.com")
    ran = cli(*DEPLOY)
    assert (ran.status, "a role is needed" in one_line(ran)) == (2, True)
    assert "CreateModel" not in amazon.operations()


@pytest.mark.slow
def test_studio_says_which_role_it_has(cli: Charloom, amazon: FakeAmazon, notebook: Path) -> None:
    write_metadata(notebook, {"AppType": "JupyterLab", "DomainId": "d-1", "ExecutionRoleArn": f"{ACCOUNT}:role/Studio"})
    shown = cli(*DEPLOY, "--dry-run", "--json").out
    assert f'"ExecutionRoleArn": "{ACCOUNT}:role/Studio"' in shown
    assert cli(*DEPLOY).status == 0
    assert role_of_the_model(amazon) == f"{ACCOUNT}:role/Studio"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path"), [("AmazonSageMaker-ExecutionRole-20261128T120000", "/service-role/"), ("Mine", "/")]
)
def test_a_notebook_that_may_not_ask_iam(
    cli: Charloom, amazon: FakeAmazon, notebook: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    write_metadata(notebook, {"ResourceName": "my-notebook"})
    assume(amazon, monkeypatch, name, path=path, trusts="sagemaker.amazonaws.com")
    amazon.refuse("GetRole", "AccessDenied", "not authorized to perform: iam:GetRole", times=None)
    ran = cli(*DEPLOY)
    assert ran.status == 0, ran.err
    assert role_of_the_model(amazon) == f"{ACCOUNT}:role{path}{name}"


@pytest.mark.parametrize("content", [[], {"ExecutionRoleArn": 3}, "x" * (2 << 20)], ids=["list", "number", "huge"])
def test_a_file_that_makes_no_sense_names_no_role(
    cli: Charloom, amazon: FakeAmazon, notebook: Path, content: Any
) -> None:
    write_metadata(notebook, content)
    ran = cli(*DEPLOY)
    assert (ran.status, "a role is needed" in one_line(ran)) == (2, True)
