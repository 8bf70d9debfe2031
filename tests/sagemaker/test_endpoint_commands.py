"""deploy, list, delete and reap as commands: what they print, ask, and refuse."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from charloom import Model
from charloom.cli.consent import ask_agreement
from charloom.cli.output import Output, OutputOptions
from charloom.sagemaker.hosting import states
from tests.cli.conftest import Charloom, one_line

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_deploying import ALL, DATA, ROLE, remains

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "deploy-on-sagemaker.md"
DEPLOY = ("sagemaker", "deploy", DATA, "--name", "mine", "--role", ROLE, "--image", "registry/image:1")


@pytest.fixture
def there(fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAmazon:
    monkeypatch.setattr(states, "POLL", 0)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    fake.put(DATA, b"archive")
    return fake


@pytest.mark.slow
def test_the_whole_life_of_an_endpoint(cli: Charloom, there: FakeAmazon) -> None:
    deployed = cli(*DEPLOY, "--yes", "--json", "--price", "0.25", "--ttl", "2h", "--scheduler-role", "S")
    assert deployed.status == 0, deployed.err
    answer = deployed.json
    assert (answer["name"], answer["per_hour"], answer["per_month"]) == ("mine", 0.25, 182.5)
    assert "0.25 USD an hour, 182.50 USD a month (730 h)" in deployed.err
    assert "mine InService" in deployed.err
    listed = cli("sagemaker", "list")
    head, row = listed.out.splitlines()
    assert head.split()[:2] == ["NAME", "STATUS"]
    assert re.search(r"mine +InService +ml.c5.large × 1 +\d+ min +(< )?\S+ USD +20\d\d-", row)
    (state,) = [json.loads(line) for line in cli("sagemaker", "list", "--json").out.splitlines()]
    assert state["expires"] == answer["expires"]
    assert cli("sagemaker", "reap").out == ""
    assert cli("sagemaker", "delete", "mine", "--json").json["removed"][0] == "endpoint mine"
    again = cli("sagemaker", "delete", "mine")
    assert again.status == 0
    assert again.out.startswith(f"mine: gone already in {REGION}: deleted from this machine on ")
    never = cli("sagemaker", "delete", "nine", "--json")
    assert (never.status, never.out) == (1, "")
    assert f"there is no endpoint nine in {REGION}: " in one_line(never)
    assert remains(there) == []


def test_nothing_is_spent_unasked(cli: Charloom, there: FakeAmazon, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = cli(*DEPLOY)
    assert refused.status == 2
    assert "give --yes" in refused.err
    assert "price unknown" in refused.err
    for answer, status in ((False, 1), (True, 0)):
        monkeypatch.setattr("charloom.cli.sagemaker.consent.ask_agreement", lambda *_, answer=answer, **__: answer)
        assert cli(*DEPLOY).status == status
        assert remains(there) == (ALL if answer else [])


def test_mistakes_are_found_before_any_request(cli: Charloom, there: FakeAmazon, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no archive")
    role = ("--role", ROLE)
    for arguments, status, message in (
        ((tmp_path / "empty", *role), 1, "holds no model"),
        ((tmp_path / "notes.txt", *role), 1, "is no archive"),
        ((tmp_path / "no where", *role), 1, "no such model directory or archive"),
        (("s3://models/notes.txt", *role), 2, "is not an archive"),
        (("s3://b/model.tar.gz", *role), 2, "'b' is no bucket's name"),
        ((DATA, *role, "--name", "a_b"), 2, "single hyphens"),
        ((DATA,), 2, "a role is needed"),
        ((DATA, *role, "--ttl", "2h"), 2, "--scheduler-role"),
        ((DATA, *role, "--instance", "ml.inf2.xlarge"), 2, "take ml.c5.large"),
        ((DATA, *role, "--async", "--async-output", "out"), 2, "'out' is not an address in S3"),
        ((DATA, *role, "--async", "--error-topic", "topic"), 2, "give the topic's full name"),
    ):
        ran = cli("sagemaker", "deploy", *arguments)
        assert (ran.status, message in one_line(ran)) == (status, True), ran.err
    assert there.operations("sagemaker") == []


def test_a_dry_run_does_not_say_what_the_account_has(cli: Charloom, there: FakeAmazon) -> None:
    ran = cli("sagemaker", "deploy", DATA, "--dry-run", "--json")
    assert "the account is not asked for its charloom-serve image" in ran.err


def test_amazons_list_of_all_machines_is_left_out(cli: Charloom, there: FakeAmazon) -> None:
    kinds = ", ".join(f"ml.r7i.{number}xlarge" for number in range(500))
    there.refuse(
        "CreateEndpointConfig",
        "ValidationException",
        "1 validation error detected: Value 'ml.c5.huge' at 'productionVariants.1.member.instanceType' failed to "
        f"satisfy constraint: Member must satisfy enum value set: [{kinds}]",
    )
    refused = cli(*DEPLOY, "--yes", "--quiet", "--instance", "ml.c5.huge")
    assert "there is no such kind of machine for that: give another --instance" in one_line(refused)
    assert len(refused.err) < 500


@pytest.mark.parametrize(
    ("typed", "agrees"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_only_yes_is_yes(typed: str, agrees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return typed

        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None:
            pass

    out = Output(OutputOptions())
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())
    assert ask_agreement(out, "deploy it?", yes=False) is agrees


def test_a_failure_is_one_line_after_the_containers_own(cli: Charloom, there: FakeAmazon) -> None:
    there.next_endpoint(["Creating", "Failed"], failure="did not pass the ping health check", logs=["no config.json"])
    failed = cli(*DEPLOY, "--yes", "--quiet")
    assert failed.status == 1
    assert one_line(failed).endswith("is Failed: did not pass the ping health check")
    there.next_endpoint(["Creating", "Failed"], failure="no", logs=["no config.json"])
    assert "no config.json" in cli(*DEPLOY, "--yes").err
    assert remains(there) == []


def test_sigterm_takes_back_what_was_begun(there: FakeAmazon) -> None:
    there.next_endpoint(["Creating"])
    command = [sys.executable, "-m", "charloom", *DEPLOY, "--yes"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Creating" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "taken back: endpoint mine, configuration mine, model mine" in rest
    assert remains(there) == []


def _commands() -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    return [line for block in found for line in block.splitlines() if line.startswith("charloom sagemaker")]


@pytest.mark.slow
def test_the_commands_of_the_page_run_without_an_account_or_boto3(tmp_path: Path, trained: Path) -> None:
    """As written, with --dry-run; boto3 cannot even be imported."""
    commands = _commands()
    assert len(commands) >= 8
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained)
    program = """
import json, shlex, sys
sys.modules["boto3"] = sys.modules["botocore"] = None
from charloom.cli.main import main
for command in json.loads(sys.argv[1]):
    try:
        main([*shlex.split(command)[1:], "--dry-run", "--json"])
    except SystemExit as ended:
        assert ended.code == 0, (command, ended.code)
"""
    command = [sys.executable, "-c", program, json.dumps(commands)]
    bare = {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "HOME": str(tmp_path)}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=bare, check=False)
    assert ran.returncode == 0, ran.stderr
    operations = [json.loads(line)["operation"] for line in ran.stdout.splitlines()]
    for operation in ("CreateEndpoint", "CreateSchedule", "PutScalingPolicy", "DeleteEndpoint", "ListEndpoints"):
        assert operation in operations


def test_the_commands_of_the_page_are_ours() -> None:
    assert {shlex.split(command)[2] for command in _commands()} >= {"deploy", "list", "delete", "reap"}


def test_the_python_of_the_page_runs_as_written(
    there: FakeAmazon, tmp_path: Path, trained: Path, server: str, model: Model,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Deployed, asked through real boto3 and our real server, and deleted."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    there.region = "us-east-1"  # the page's
    there.next_endpoint(address=server)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {})
    assert capsys.readouterr().out == model.generate("Once ", length=200, seed=1).text + "\n"
    assert "DeleteModel" in there.operations()
    assert remains(there) == []


@pytest.mark.slow
def test_an_endpoint_of_this_machine(cli: Charloom, there: FakeAmazon, trained: Path) -> None:
    deployed = cli("sagemaker", "deploy", trained, "--instance", "local", "--name", "here", "--ttl", "5m", "--json")
    try:
        assert deployed.status == 0, deployed.err
        assert (deployed.json["instance"], deployed.json["per_hour"]) == ("local", 0.0)
        row = cli("sagemaker", "list", "--here").out.splitlines()[1]
        assert re.match(r"here +InService +local × 1 ", row)
        assert cli("sagemaker", "deploy", trained, "--instance", "local", "--async").status == 2
        assert cli("sagemaker", "deploy", trained, "--instance", "local", "--dry-run", "--json").out == ""
        assert cli("sagemaker", "deploy", ROOT, "--instance", "local", "--dry-run").status == 1, "no model"
        there.refuse("ListEndpoints", "AccessDeniedException", "no")
        listed = cli("sagemaker", "list", "--json")
        assert (listed.status, listed.json["name"]) == (1, "here")  # also where no account can be asked
    finally:
        deleted = cli("sagemaker", "delete", "here", "--json")
    assert deleted.json["removed"] == ["endpoint here"]
    assert cli("sagemaker", "list", "--here").out == ""
    assert there.operations("sagemaker") == ["DescribeEndpoint", "ListEndpoints", "DescribeEndpoint"]
