"""The commands of jobs, as a person and as a script use them."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from charloom.sagemaker.jobs import follow
from charloom.sagemaker.local.records import HOME

from ..cli.conftest import Charloom, charloom, one_line  # noqa: F401
from .fake_amazon import FakeAmazon
from .test_training_jobs import LOG, ROLE, artifact, source  # noqa: F401

SMALL = ["--steps", "4", "--hidden-size", "8", "--threads", "1", "--device", "cpu"]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "train-on-sagemaker.md"


@pytest.fixture(autouse=True)
def _quick(pretended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between looks, and jobs of this machine in a folder of the test."""
    for module in ("jobs.follow", "cloudwatch"):
        monkeypatch.setattr(f"charloom.sagemaker.{module}.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    monkeypatch.setenv("CHARLOOM_SAGEMAKER_ROLE", ROLE)


@pytest.fixture(autouse=True)
def _packed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("charloom.sagemaker.jobs.start.pack_source", lambda folder: source)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.slow
def test_the_whole_way(
    charloom: Charloom, fake: FakeAmazon, small_text: Path, artifact: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    up = charloom("sagemaker", "upload", small_text, "--clean", "lowercase", "--json").json
    assert set(up) >= {"uri", "files", "uploaded", "skipped", "bytes", "characters", "vocab_size", "sha256"}
    shown = charloom("sagemaker", "upload", small_text, "--clean", "lowercase")
    assert "0 sent, 3 there already" in shown.out
    assert f"charloom sagemaker train {up['uri']}" in shown.err
    fake.next_job(logs=LOG, artifact=artifact, metrics={"validation:loss": 4.431})
    model = tmp_path / "model"
    ran = charloom("sagemaker", "train", up["uri"], *SMALL, "--name", "job", "--price", "2", "-o", model, "--json")
    assert ran.status == 0, ran.err
    assert ran.json == {**ran.json, "job": "job", "status": "Completed", "model": str(model), "seconds_billed": 90}
    assert ran.json["price"] == pytest.approx(0.05)
    for line in (*LOG, "2.00 USD an hour each, about 2.00 USD in all at most", f"charloom generate {model}"):
        assert line in ran.err
    assert charloom("generate", model, "--length", "5", "--json").json["characters"] == 5
    shown = charloom("sagemaker", "status", "job", "--price", "2")
    assert "1 min 30 s billed" in shown.out
    assert "validation:loss 4.431" in shown.out
    assert charloom("sagemaker", "status", "job", "--json").json["price"] is None, "unknown is not zero"
    assert "unknown" in charloom("sagemaker", "status", "job").out
    lines = charloom("sagemaker", "logs", "job", "--json").out.splitlines()
    assert [json.loads(line)["message"] for line in lines] == LOG
    assert charloom("sagemaker", "logs", "job", "--follow", "--last", "1").out.endswith(f"algo-1  {LOG[-1]}\n")
    assert charloom("sagemaker", "stop", "job", "--json").json == {
        "job": "job",
        "stopped": False,
        "region": "eu-west-1",
    }
    again = charloom("sagemaker", "attach", "job", "-o", tmp_path / "again", "--json").json
    assert again == {**again, "model": str(tmp_path / "again"), "protocol": "stateful"}
    assert "already holds a model" in one_line(charloom("sagemaker", "attach", "job", "-o", tmp_path / "again"))


def test_not_waiting(charloom: Charloom, fake: FakeAmazon, small_text: Path) -> None:  # noqa: F811
    fake.next_job(["Training"])
    ran = charloom("sagemaker", "train", small_text, *SMALL, "--name", "job", "--no-wait", "--json", "--yes")
    assert (ran.json["job"], ran.json["most"], ran.json["spot"]) == ("job", None, False)
    assert "unknown" in ran.err
    assert charloom("sagemaker", "stop", "job").out == "job is stopping in eu-west-1\n"
    assert charloom("sagemaker", "stop", "job").out == "job does not run in eu-west-1: there is nothing to stop\n"


def test_a_failure_is_one_line_and_exit_1(charloom: Charloom, fake: FakeAmazon, small_text: Path) -> None:  # noqa: F811
    fake.next_job(failure="AlgorithmError: out of memory", logs=["reading", "Killed"])
    ran = charloom("sagemaker", "train", small_text, *SMALL, "--name", "job", "--quiet", "--yes")
    assert ran.status == 1
    assert one_line(ran).startswith("charloom: the job job failed: AlgorithmError: out of memory (its log: ")
    fake.next_job(failure="AlgorithmError: out of memory", logs=["reading", "Killed"])
    assert "Killed\n" in charloom("sagemaker", "train", small_text, *SMALL, "--name", "job2", "--yes").err


@pytest.mark.parametrize(
    ("answer", "terminal", "status", "stopped"),
    [("y\n", True, 0, True), ("n\n", True, 130, False), ("", True, 130, False), ("y\n", False, 130, False)],
)
def test_ctrl_c_asks_whether_to_stop_the_job(
    charloom: Charloom, fake: FakeAmazon, small_text: Path, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
    answer: str, terminal: bool, status: int, stopped: bool,
) -> None:  # fmt: skip
    fake.next_job(["Training"])
    looks, look = [], follow.Watch._look

    def interrupted(self: follow.Watch) -> follow.JobStatus | None:
        looks.append(1)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return look(self)

    monkeypatch.setattr("charloom.sagemaker.jobs.follow.Watch._look", interrupted)
    monkeypatch.setattr("sys.stdin", Terminal(answer) if terminal else io.StringIO(answer))
    ran = charloom("sagemaker", "train", small_text, *SMALL, "--name", "job", "--yes")
    assert (ran.status, "StopTrainingJob" in fake.operations()) == (status, stopped), ran.err
    assert ("stop the job job?" in ran.err) is terminal
    if not stopped:
        assert "the job runs on" in ran.err
        there = "--region eu-west-1"
        assert f"charloom sagemaker attach job -o runs/mine {there}\n    charloom sagemaker stop job {there}" in ran.err


def test_what_cannot_work_is_one_line(
    charloom: Charloom, fake: FakeAmazon, small_text: Path, trained: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    train = ["sagemaker", "train", str(small_text)]
    local = [*train, "--instance", "local", "--dry-run", "-o", str(tmp_path / "new")]
    deploy = ["sagemaker", "deploy", str(trained), "--instance", "local", "--dry-run"]
    for arguments, status, said in (
        ([*train, "--instance", "ml.p3.2xlarge"], 2, "take ml.g5.xlarge"),
        ([*train, "--instance", "m5"], 2, "not an instance type"),
        ([*train, "--instances", "0"], 2, "--instances 0: give 1 or more"),
        ([*train, "--subnets", "subnet-1"], 2, "--subnets and --security-groups go together"),
        ([*train, "--max-runtime", "soon"], 2, "--max-runtime soon: "),
        ([*train, "--budget", "2h", "--max-runtime", "1h"], 2, "does not fit"),
        ([*train, "--epochs", "1", "--steps", "1"], 2, "not both"),
        ([*train, "--name", "a b"], 2, "letters, digits"),
        ([*train, "-o", "m", "--no-wait"], 2, "leave out -o"),
        ([*train, "-o", str(tmp_path / "full")], 2, "holds other files"),
        ([*train, "--region", "mars-1"], 2, "give the image with --image"),
        ([*train, "--recipe", "grand"], 2, "no such recipe"),
        ([*train, "--track", "mlflow"], 2, "track cannot be set"),
        ([*train, "--init-from", "/nonexistent"], 1, "/nonexistent"),
        ([*train, "--encoding", "x" * 3000], 2, "takes 2,500"),
        (["sagemaker", "train"], 2, "name a corpus"),
        (["sagemaker", "train", "/nonexistent", "--yes", "--quiet"], 1, "/nonexistent"),
        ([*train, "--instance", "local"], 2, "needs -o"),
        ([*train, "--instance", "local", "-o", "m", "--spot"], 2, "--spot is for Amazon's machines"),
        ([*local, "--spot"], 2, "--spot is for Amazon's machines"),
        ([*local, "--name", "a b"], 2, "letters, digits"),
        ([*local, "--recipe", "grand"], 2, "no such recipe"),
        ([*local[:-1], str(tmp_path / "full")], 2, "holds other files"),
        (["sagemaker", "train", "/nonexistent", *local[3:]], 1, "/nonexistent"),
        ([*deploy, "--name", "a b"], 2, "letters, digits"),
        ([*deploy, "--async"], 2, "--async has no meaning on this machine"),
        (["sagemaker", "upload"], 2, "name a corpus"),
        (["sagemaker", "status", "none"], 1, "there is no job none"),
        (["sagemaker", "logs", "none"], 1, "there is no job or endpoint none in eu-west-1"),
        (["sagemaker", "logs", "a/b"], 2, "letters, digits"),
    ):
        ran = charloom(*arguments)
        assert ran.status == status, (arguments, ran.err)
        assert said in one_line(ran), arguments
    assert "CreateTrainingJob" not in fake.operations()


@pytest.mark.slow
def test_what_is_not_there_is_a_failure(charloom: Charloom, fake: FakeAmazon, small_text: Path, tmp_path: Path) -> None:  # noqa: F811
    """Exit status 1 everywhere: 2 is for what was typed wrongly."""
    here, there = "on this machine: charloom sagemaker list --here", "in eu-west-1"
    train = ["train", str(small_text), *SMALL]
    model = str(tmp_path / "model")
    for arguments, said in (
        (["status", "none", "--here"], f"there is no job none {here}"),
        (["stop", "none", "--here"], f"there is no job none {here}"),
        (["attach", "none", "--here", "-o", model], f"there is no job none {here}"),
        (["logs", "none", "--here"], f"there is no job or endpoint none {here}"),
        (["logs", "none", "--here", "--follow"], f"there is no job or endpoint none {here}"),
        (["delete", "none", "--here"], f"there is no endpoint none {here}"),
        (["delete", "none", "--here", "--job"], f"there is no job none {here}"),
        (["invoke", "none", "--here"], f"there is no endpoint none {here}"),
        (["status", "none"], f"there is no job none {there}: charloom sagemaker list --region eu-west-1"),
        (["stop", "none"], f"there is no job none {there}"),
        (["attach", "none", "-o", model], f"there is no job none {there}"),
        (["logs", "none"], f"there is no job or endpoint none {there}: charloom sagemaker list"),
        (["logs", "none", "--follow"], f"there is no job or endpoint none {there}"),
        (["logs", "none", "--follow", "--last", "3", "--json"], f"there is no job or endpoint none {there}"),
        (["delete", "none"], f"there is no endpoint none {there}"),
        (["invoke", "none"], f"there is no endpoint none {there}"),
        (["deploy", "none", "--yes", "--quiet"], f"no such training job {there}"),
        (["deploy", "none", "--instance", "local"], f"no such training job {there}"),
        (["deploy", "s3://none-such/model.tar.gz", "--yes", "--quiet"], "s3://none-such/model.tar.gz is not there"),
        (["transform", "none", "--input", "s3://none-such/a", "--output", "s3://out", "--yes"], "no such bucket"),
        ([*train, "--validation", "/nonexistent"], "--validation /nonexistent: there is no such file"),
        (["train", "/nonexistent", *SMALL, "--instance", "local", "-o", model], "/nonexistent"),
        ([*train, "--validation", "/nonexistent", "--instance", "local", "-o", model], "/nonexistent: there is no"),
        ([*train, "--init-from", "/nonexistent", "--instance", "local", "-o", model], "/nonexistent"),
    ):
        ran = charloom("sagemaker", *arguments)
        assert (ran.status, ran.out) == (1, ""), (arguments, ran.err)
        assert said in one_line(ran), arguments
    assert charloom("sagemaker", "list", "--here", "--json").out == "", "no local job has been begun"
    assert not any(operation.startswith("Create") for operation in fake.operations("sagemaker"))


@pytest.mark.slow
def test_a_log_is_followed_from_before_its_begin_to_its_end(
    charloom: Charloom, fake: FakeAmazon, small_text: Path  # noqa: F811
) -> None:  # fmt: skip
    fake.next_job(["Starting"] * 3 + ["Training", "Completed"], logs=LOG)
    assert charloom("sagemaker", "train", small_text, *SMALL, "--name", "job", "--no-wait", "--yes").status == 0
    ran = charloom("sagemaker", "logs", "job", "--follow", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert [json.loads(line)["message"] for line in ran.out.splitlines()] == LOG
    fake.next_job(["Starting", "Failed"], failure="CapacityError: none left")
    assert charloom("sagemaker", "train", small_text, *SMALL, "--name", "mute", "--no-wait", "--yes").status == 0
    assert "mute has written nothing so far in eu-west-1" in one_line(charloom("sagemaker", "logs", "mute"))
    silent = charloom("sagemaker", "logs", "mute", "--follow")
    assert (silent.status, "mute has written nothing so far" in one_line(silent)) == (1, True)


def test_an_endpoints_log_is_followed_until_it_is_gone(
    charloom: Charloom, fake: FakeAmazon, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    fake.connect_endpoint("mine", "http://127.0.0.1:9")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        """Time goes by: it writes, is deleted, and its last line arrives late."""
        pauses.append(seconds)
        if len(pauses) == 3:
            fake.client("sagemaker").delete_endpoint(EndpointName="mine")
            del fake.endpoints["mine"]
        if len(pauses) in (2, 4):
            at = round(time.time() * 1000)
            fake.write_log("/aws/sagemaker/Endpoints/mine", "AllTraffic/i-1", [f"line {len(pauses)}"], at)

    monkeypatch.setattr("charloom.sagemaker.cloudwatch.time", SimpleNamespace(sleep=pause))
    ran = charloom("sagemaker", "logs", "mine", "--follow", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert [json.loads(line)["message"] for line in ran.out.splitlines()] == ["line 2", "line 4"]
    before = len(pauses)
    ran = charloom("sagemaker", "logs", "mine", "--follow", "--last", "1")
    assert (ran.status, ran.out.endswith("i-1  line 4\n")) == (0, True), "what is gone has left its log"
    assert len(pauses) == before, "and is not waited for"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="links as POSIX has them")
def test_only_the_models_own_files_are_sent(
    charloom: Charloom, fake: FakeAmazon, small_text: Path, trained: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """A stranger's model directory may hold links to files of this machine."""
    model, secret = tmp_path / "model", tmp_path / "secret.txt"
    shutil.copytree(trained, model)
    secret.write_text("the key is 12345")
    (model / "notes.txt").symlink_to(secret)
    train = ("sagemaker", "train", small_text, *SMALL, "--init-from", model, "--no-wait", "--yes")
    assert charloom(*train, "--name", "job").status == 0
    sent = sorted(str(one["Key"]) for one in fake.requests("PutObject") if "init-from" in str(one["Key"]))
    own = {*json.loads((model / "config.json").read_text("utf-8"))["files"], "config.json"}
    assert {key.rpartition("/")[2] for key in sent} == own
    for name in ("README.md", "metrics.jsonl", "model.safetensors"):
        kept = (model / name).read_bytes()
        (model / name).unlink()
        (model / name).symlink_to(secret)
        fake.calls.clear()
        for command in (
            train,
            ("sagemaker", "deploy", model, "--yes", "--image", "registry/image:1"),
            ("sagemaker", "deploy", model, "--instance", "local"),
            ("sagemaker", "package", model, "-o", tmp_path / "model.tar.gz", "--no-check"),
            ("sagemaker", "transform", model, "--input", "s3://texts/a", "--output", "s3://texts/out", "--yes"),
        ):
            fake.put("s3://texts/a", b"{}")
            ran = charloom(*command)
            assert (ran.status, f"{name} is altered" in ran.err.splitlines()[-1]) == (1, True), ran.err
            assert not (tmp_path / "model.tar.gz").exists()
        assert "PutObject" not in fake.operations("s3")
        assert not any(operation.startswith("Create") for operation in fake.operations("sagemaker"))
        (model / name).unlink()
        (model / name).write_bytes(kept)
    (model / "README.md").write_text("# mine")
    assert charloom(*train, "--name", "edited").status == 0, "a card that people edited is theirs to send"


def test_without_credentials(charloom: Charloom, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "no credentials" in one_line(charloom("sagemaker", "status", "job"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for command in ("status", "stop", "logs"):
        said = one_line(charloom("sagemaker", command, "job"))
        assert "job on this machine, and the account cannot be asked: no region is set" in said
    assert "there is no endpoint mine on this machine" in one_line(charloom("sagemaker", "delete", "mine"))
    assert "or --here" in one_line(charloom("sagemaker", "list"))
    ran = charloom("sagemaker", "deploy", "nowhere", "--instance", "local")
    assert "nowhere: there is no such model directory, archive or job on this machine" in one_line(ran)
    assert "'no where' is no region's name" in one_line(charloom("sagemaker", "status", "job", "--region", "no where"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    ran = charloom("sagemaker", "status", "job", "--region", "us-east-1")
    assert "correct AWS_ENDPOINT_URL" in one_line(ran)
    monkeypatch.delenv("CHARLOOM_SAGEMAKER_ROLE")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert "a role is needed" in one_line(charloom("sagemaker", "train", "s3://texts/a"))


def test_the_page_on_training(charloom: Charloom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Its commands parse, and a dry run of each shows what it would send."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "your-text.txt").write_text("A text of some lines.\nAnd another.\n" * 50)
    commands = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
        for line in block.replace("\\\n", "").splitlines()
        if line.startswith("charloom sagemaker ")
    ]
    assert len(commands) >= 8
    for command in commands:
        ran = charloom(*shlex.split(command)[1:], "--dry-run", "--json")
        assert ran.status == 0, (command, ran.err)
        local = "--instance local" in command
        assert local or all(json.loads(line)["service"] for line in ran.out.splitlines()), command


def test_the_python_of_the_page(
    fake: FakeAmazon, small_text: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "your-text.txt").write_bytes(small_text.read_bytes())
    fake.next_job(artifact=artifact)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    exec(code, {})
    assert (tmp_path / "runs" / "mine" / "config.json").is_file()
