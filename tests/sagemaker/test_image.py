from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from charloom.errors import CharloomError, CloudError, UsageError
from charloom.events import Event, LogLine, StatusChanged
from charloom.sagemaker import image_builds
from charloom.sagemaker.aws import Account, Answer, DryRun, Request
from charloom.sagemaker.images import REPOSITORY, build_image, serving_image, write_context
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import default_bucket, download_file
from charloom.version import __version__
from tests.cli.conftest import Charloom, charloom, one_line

from .conftest import REGION

__all__ = ["charloom"]  # a fixture

KIND = "application/vnd.docker.distribution.manifest.v2+json"
FAKE = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], "" if sys.argv[1] != "login" else sys.stdin.read()]) + "\\n")
print("said by docker " + sys.argv[1])
sys.exit({fails!r} == sys.argv[1])
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `docker` that writes down its arguments."""

    def make(fails: str = "") -> Path:
        log, program = tmp_path / "docker.log", tmp_path / "bin/docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE.format(python=sys.executable, log=str(log), fails=fails))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return log

    return make


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charloom.sagemaker.images.docker_runs", lambda: False)
    monkeypatch.setattr(image_builds, "_LOOK_EVERY", 0.0)


def pushed(account: Account, tag: str) -> None:
    layer = {"digest": "sha256:" + "0" * 64, "size": 1}
    manifest = {"schemaVersion": 2, "mediaType": KIND, "config": layer, "layers": [layer], "for": tag}
    account.call("ecr", "put_image", repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag=tag)


def test_the_accounts_image_is_found(account: Account) -> None:
    assert serving_image(account) is None
    account.call("ecr", "create_repository", repositoryName=REPOSITORY)
    assert serving_image(account) is None
    pushed(account, "latest")
    address = f"{account.account_id}.dkr.ecr.{REGION}.amazonaws.com/charloom-serve"
    assert serving_image(account) == f"{address}:latest"
    pushed(account, __version__)
    assert serving_image(account) == f"{address}:{__version__}"


def test_docker_builds_where_its_engine_runs(account: Account, engine: Any) -> None:
    log, events = engine(), list[Event]()
    built = build_image(account, notify=events.append)
    address = f"{account.account_id}.dkr.ecr.{REGION}.amazonaws.com"
    assert (built.image, built.builder) == (f"{address}/charloom-serve:{__version__}", "docker")
    asked, login, build, *pushes = [json.loads(line) for line in log.read_text().splitlines()]
    assert asked[0][0] == "info"
    assert login[0] == ["login", "--username", "AWS", "--password-stdin", address]
    assert login[1]
    assert login[1] not in str(login[0])
    image = f"{address}/charloom-serve"
    marks = ["--tag", f"{image}:{__version__}", "--tag", f"{image}:latest"]
    assert build[0] == ["build", "--platform", "linux/amd64", "--file", "docker/serve.Dockerfile", *marks, "."]
    assert [one[0] for one in pushes] == [["push", f"{image}:{__version__}"], ["push", f"{image}:latest"]]
    assert LogLine("said by docker build") in events
    (repository,) = account.call("ecr", "describe_repositories")["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    build_image(account)  # the repository is there already


def test_docker_fails_in_one_line(account: Account, engine: Any) -> None:
    engine(fails="build")
    with pytest.raises(CharloomError, match="docker build failed: said by docker build"):
        build_image(account, builder="docker")


def test_no_docker_at_all(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not image_builds.docker_runs()
    with pytest.raises(CharloomError, match="cannot run docker"):
        build_image(account, builder="docker")
    with pytest.raises(UsageError, match="--codebuild-role"):
        build_image(account)


def test_what_docker_is_sent(tmp_path: Path) -> None:
    write_context(tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"charloom-{__version__}-py3-none-any.whl"
    dockerfile = (tmp_path / image_builds.DOCKERFILE).read_text()
    assert dockerfile == (Path(__file__).parents[2] / image_builds.DOCKERFILE).read_text()
    assert "fastapi==" in (tmp_path / "constraints.txt").read_text()
    # The command of the first stage, as it is run where there is no pyproject.toml.
    (command,) = [line[4:] for line in dockerfile.replace("\\\n", " ").splitlines() if line.startswith("RUN if")]
    local = command.replace("/wheels", "wheels")
    subprocess.run(["sh", "-c", local], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "wheels" / wheel.name).is_file()


@pytest.mark.usefixtures("no_engine")
def test_codebuild_builds_where_there_is_no_docker(account: Account, tmp_path: Path) -> None:
    events = list[Event]()
    for _ in range(2):  # the project is there the second time
        built = build_image(account, codebuild_role="builder", notify=events.append)
    assert built.builder == "codebuild"
    assert [event for event in events if isinstance(event, StatusChanged)]
    (project,) = account.call("codebuild", "batch_get_projects", names=["charloom-serve"])["projects"]
    assert project["serviceRole"].endswith(":role/builder")
    source = S3Uri(default_bucket(account)) / f"charloom/image/charloom-serve-{__version__}.zip"
    download_file(account, source, tmp_path / "source.zip")
    with zipfile.ZipFile(tmp_path / "source.zip") as archive:
        assert {"constraints.txt", "docker/serve.Dockerfile"} < set(archive.namelist())
    commands = json.loads(project["source"]["buildspec"])["phases"]["build"]["commands"]
    assert commands[0].startswith("docker build --platform linux/amd64")


class Scripted:
    """An account in which a build goes through the given states."""

    dry = False
    region, account_id, profile = REGION, "111122223333", None
    caller = "arn:aws:iam::111122223333:user/me"

    def __init__(self, *builds: Answer, interrupted: bool = False) -> None:
        self.builds = list(builds)
        self.asked: list[str] = []
        self.interrupted = interrupted

    def call(self, service: str, operation: str, **request: Any) -> Answer:
        self.asked.append(operation)
        if operation == "batch_get_builds":
            if self.interrupted:
                raise KeyboardInterrupt
            return {"builds": [self.builds.pop(0)]}
        if operation == "start_build":
            return {"build": {"id": "charloom-serve:1"}}
        if operation == "get_log_events":
            if len(self.builds) > 1:
                raise CloudError("not yet", "ResourceNotFoundException")
            if "nextToken" in request:
                return {"events": [], "nextForwardToken": request["nextToken"]}
            return {"events": [{"message": "pip: no such version\n"}], "nextForwardToken": "f/1"}
        return {}

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[Answer]:
        yield self.call(service, operation, **request)


LOGS = {"groupName": "/aws/codebuild/charloom-serve", "streamName": "1"}


@pytest.mark.usefixtures("no_engine")
def test_a_build_that_fails_says_why() -> None:
    phase = {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": "exit status 1"}]}
    running: Answer = {"buildStatus": "IN_PROGRESS", "currentPhase": "QUEUED", "logs": {}}
    building = {**running, "currentPhase": "BUILD", "logs": LOGS}
    failed = {**building, "buildStatus": "FAILED", "currentPhase": "COMPLETED", "phases": [phase]}
    events = list[Event]()
    with pytest.raises(CloudError, match="FAILED: exit status 1 / pip: no such version") as raised:
        build_image(Scripted(running, building, building, failed), codebuild_role="r", notify=events.append)
    assert raised.value.code == "FAILED"
    assert [event.status for event in events if isinstance(event, StatusChanged)] == ["QUEUED", "BUILD", "COMPLETED"]
    assert [event.message for event in events if isinstance(event, LogLine)] == ["pip: no such version"]


@pytest.mark.usefixtures("no_engine")
def test_an_interrupted_build_is_stopped() -> None:
    aws = Scripted(interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        build_image(aws, codebuild_role="r")
    assert aws.asked[-1] == "stop_build"


@pytest.mark.parametrize("builder", ["docker", "codebuild"])
def test_every_request_is_one_that_amazon_takes(builder: Any, pretended: str) -> None:
    """A dry run shows them all; botocore's own model judges them."""
    shown: list[Request] = []
    aws = DryRun(shown.append, REGION)
    build_image(aws, builder=builder)
    serving_image(aws)
    operations = [f"{request.service}:{request.operation}" for request in shown]
    assert "ecr:create_repository" in operations
    assert ("ecr:get_authorization_token" in operations) == (builder == "docker")
    assert ("codebuild:start_build" in operations) == (builder == "codebuild")
    session = botocore.session.get_session()
    for request in shown:
        model = session.get_service_model(request.service)
        name = "".join(part.title() for part in request.operation.split("_"))
        shape = model.operation_model(name).input_shape
        assert not ParamValidator().validate(dict(request.request), shape).has_errors()


def test_the_command(charloom: Charloom, pretended: str, engine: Any) -> None:
    engine()
    ran = charloom("sagemaker", "image", "--json", "--quiet")
    assert ran.status == 0, ran.err
    assert ran.json["builder"] == "docker"
    assert ran.json["image"].endswith(f"/charloom-serve:{__version__}")
    shown = charloom("sagemaker", "image", "--dry-run", "--builder", "codebuild", "--json", "--region", REGION)
    assert shown.status == 0, shown.err
    operations = [json.loads(line)["operation"] for line in shown.out.splitlines()]
    assert operations[-1] == "GetLogEvents"
    assert "ACCOUNT_ID.dkr.ecr" in shown.out
    engine(fails="push")
    assert "docker push failed" in one_line(charloom("sagemaker", "image", "--quiet"))


def test_the_package_command(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "packed" / "model.tar.gz"
    ran = charloom("sagemaker", "package", trained, "-o", output, "--json", "--quiet")
    assert ran.status == 0, ran.err
    assert ran.json["path"] == str(output)
    assert ran.json["bytes"] == output.stat().st_size
    ran = charloom("sagemaker", "package", trained, "-o", output, "--no-check", "--overwrite")
    assert ran.json if ran.out.startswith("{") else "sha256" in ran.out
    assert "charloom sagemaker deploy" in ran.err
    ran = charloom("sagemaker", "package", trained, "-o", tmp_path / "none.tar.gz", "--dry-run")
    assert (ran.status, ran.out) == (0, "")
    assert not (tmp_path / "none.tar.gz").exists()
    ran = charloom("sagemaker", "package", tmp_path, "-o", tmp_path / "x.tar.gz")
    assert ran.status == 1
    assert "holds no model" in one_line(ran)
    ran = charloom("sagemaker", "package", trained, "-o", tmp_path / "x.tar.gz", "--platform", "win32")
    assert (ran.status, "such as manylinux" in one_line(ran)) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["docker", "codebuild"])
def test_a_dry_run_needs_no_boto3(builder: str) -> None:
    code = (
        "import sys; sys.modules.update(boto3=None, botocore=None)\n"
        "from charloom.cli.main import main\n"
        f"main(['sagemaker', 'image', '--dry-run', '--json', '--quiet', '--builder', {builder!r}])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    first = {
        "docker": "CreateRepository",
        "codebuild": "GetCallerIdentity",
    }  # a role first
    assert json.loads(ran.stdout.splitlines()[0])["operation"] == first[builder]
