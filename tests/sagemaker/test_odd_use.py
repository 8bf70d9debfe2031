"""Commands as a stranger uses them: odd names, wrong places, Ctrl-C at a question, no stdin, half an endpoint."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line

from .conftest import REGION
from .fake_amazon import FakeAmazon
from .test_before_it_costs import DEPLOY, TRAIN, TRANSFORM, Terminal, paid, there  # noqa: F401
from .test_deploying import remains
from .test_training_jobs import source  # noqa: F401

NAMED = ("status", "stop", "logs", "delete", "invoke")
STARTING = {"train": TRAIN, "deploy": DEPLOY[:3], "transform": TRANSFORM}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b", "a/b", "../up", "\x1b[31mred", "naïve", "a" * 64, "a--", "a;reboot", "\n"])
def test_a_name_that_cannot_be_is_a_mistake_of_usage(
    cli: Charloom, there: FakeAmazon, tmp_path: Path, name: str  # noqa: F811
) -> None:  # fmt: skip
    commands: list[tuple[object, ...]] = [("sagemaker", command, name) for command in NAMED]
    commands += [("sagemaker", "logs", name, "--follow"), ("sagemaker", "attach", name, "-o", tmp_path / "model")]
    commands += [(*command, "--name", name, "--yes") for command in STARTING.values()]
    commands += [("sagemaker", "delete", name, "--job")]
    before = paid(there)
    for command in commands:
        ran = cli(*command)
        assert (ran.status, ran.out) == (2, ""), (command, ran.err)
        assert "letters, digits and single hyphens" in one_line(ran), command
        assert "\x1b" not in ran.err
    assert paid(there) == before


@pytest.mark.parametrize("place", [("--profile", "no-such-profile"), ("--region", "no where")])
def test_a_wrong_place_is_named(
    cli: Charloom, there: FakeAmazon, tmp_path: Path, place: tuple[str, str]  # noqa: F811
) -> None:  # fmt: skip
    commands: list[tuple[object, ...]] = [("sagemaker", command, "mine") for command in NAMED]
    commands += [("sagemaker", "logs", "mine", "--follow"), ("sagemaker", "attach", "mine", "-o", tmp_path / "model")]
    commands += [("sagemaker", "list"), ("sagemaker", "reap")]
    commands += [(*command, "--yes", "--quiet") for command in STARTING.values()]
    for command in commands:
        ran = cli(*command, *place)
        assert (ran.status in (1, 2), ran.out, place[1] in one_line(ran)) == (True, "", True), (command, ran.err)


def interrupted() -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize("command", STARTING.values(), ids=STARTING)
def test_ctrl_c_at_the_question_starts_nothing(
    cli: Charloom, there: FakeAmazon, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    before = paid(there)
    terminal = Terminal("")
    monkeypatch.setattr(terminal, "readline", interrupted)
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdin", terminal)
        patched.setattr("sys.stderr", terminal)
        ran = cli(*command, "--price", "1000")
    assert (ran.status, ran.out) == (130, "")
    assert terminal.shown.rstrip("\n").endswith("[y/N] ")
    assert paid(there) == before
    assert "PutObject" not in there.operations("s3")


def closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


@pytest.mark.slow
@pytest.mark.parametrize("stdin", [lambda: None, closed, io.StringIO], ids=["none", "closed", "empty"])
@pytest.mark.parametrize("command", STARTING.values(), ids=STARTING)
def test_without_an_answer_nothing_starts(
    cli: Charloom, there: FakeAmazon, command: tuple[str, ...], stdin: Callable[[], object],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before = paid(there)
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdin", stdin())
        ran = cli(*command, "--price", "1000", "--quiet")
    assert (ran.status, ran.out, "give --yes" in one_line(ran)) == (2, "", True), ran.err
    assert paid(there) == before


def test_the_question_whether_to_stop_is_shown_even_when_quiet(
    cli: Charloom, there: FakeAmazon, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    there.next_job(["Training"])
    monkeypatch.setattr("charloom.sagemaker.jobs.follow.Watch._look", lambda self: interrupted())
    terminal = Terminal("n\n")
    monkeypatch.setattr("sys.stdin", terminal)
    ran = cli(*TRAIN, "--name", "mine", "--price", "1", "--quiet")
    assert (ran.status, "stop the job mine? It runs on, and is paid for, if not. [y/N]" in ran.err) == (130, True)


@pytest.mark.slow
def test_half_an_endpoint_is_seen_asked_for_and_removed(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    """Something else deleted the endpoint alone, and its configuration and model are left."""
    there.next_endpoint()
    assert cli(*DEPLOY, "--yes", "--role", "R", "--image", "registry/image:1").status == 0
    there.client("sagemaker").delete_endpoint(EndpointName="mine")
    del there.endpoints["mine"]
    assert f"there is no endpoint mine in {REGION}" in one_line(cli("sagemaker", "invoke", "mine"))
    assert f"there is no job or endpoint mine in {REGION}" in one_line(cli("sagemaker", "logs", "mine", "--follow"))
    again = cli(*DEPLOY, "--yes", "--quiet", "--role", "R", "--image", "registry/image:1")
    assert (again.status, f"charloom sagemaker delete mine --region {REGION}" in one_line(again)) == (2, True)
    deleted = cli("sagemaker", "delete", "mine", "--json").json
    assert deleted["removed"] == ["configuration mine", "model mine"]
    assert [one for one in remains(there) if "ours" not in str(one)] == []


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout(
    cli: Charloom, there: FakeAmazon, server: str  # noqa: F811
) -> None:  # fmt: skip
    there.next_job(["Training", "Completed"], logs=["a line"])
    there.next_endpoint(address=server)
    there.connect_model("ours", server)
    for command in (
        (*TRAIN, "--name", "job", "--price", "1"),
        ("sagemaker", "status", "job"),
        ("sagemaker", "logs", "job", "--follow"),
        ("sagemaker", "stop", "job"),
        (*DEPLOY, "--yes", "--role", "R", "--image", "registry/image:1"),
        ("sagemaker", "list"),
        ("sagemaker", "invoke", "mine", "--length", "5"),
        ("sagemaker", "invoke", "mine", "--length", "5", "--stream"),
        ("sagemaker", "invoke", "mine", "--payload", "10-a"),
        ("sagemaker", "delete", "mine"),
        ("sagemaker", "delete", "mine"),
        ("sagemaker", "reap"),
        ("sagemaker", "list"),
        (*TRAIN, "--dry-run"),
        (*DEPLOY, "--dry-run"),
        (*TRANSFORM, "--dry-run"),
        ("sagemaker", "delete", "mine", "--dry-run"),
        ("sagemaker", "logs", "mine", "--follow", "--dry-run"),
    ):
        ran = cli(*command, "--json")
        assert ran.status == 0, (command, ran.err)
        assert all(isinstance(json.loads(line), dict) for line in ran.out.splitlines()), command


def test_a_dry_run_deletes_no_job_that_is_not_there(cli: Charloom, there: FakeAmazon) -> None:  # noqa: F811
    ran = cli("sagemaker", "delete", "none", "--job", "--dry-run")
    assert (ran.status, "there is no job none on this machine" in one_line(ran)) == (1, True)


def test_an_interrupted_deletion_says_what_may_still_bill(
    cli: Charloom, there: FakeAmazon, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    there.connect_endpoint("mine", "http://127.0.0.1:9")
    there.refuse("DeleteEndpoint", "ValidationException", "Cannot update in-progress endpoint", times=None)
    there.endpoints["mine"].turn("Creating")
    monkeypatch.setattr("charloom.sagemaker.hosting.states.time.sleep", lambda seconds: interrupted())
    ran = cli("sagemaker", "delete", "mine", "--force")
    assert (ran.status, ran.out) == (130, "")
    assert f"may still be there, and bill: run charloom sagemaker delete mine --region {REGION}" in ran.err
