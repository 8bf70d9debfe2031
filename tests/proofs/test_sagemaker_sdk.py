"""The real SageMaker SDK before a pretended Amazon whose containers are AWS's own toolkits: the page's code as written.

What the SDK asks for is what is run: a training job by `sagemaker-training`, from the archives and hyperparameters of
its request, and an endpoint by `sagemaker-pytorch-inference`, from the archive that the SDK packed again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.sagemaker.local.job_runs import pack_model
from tests.cli.conftest import Charloom
from tests.cli.conftest import charloom as cli  # noqa: F401
from tests.proofs.test_training_toolkit import PATIENCE, Toolkit
from tests.proofs.toolkits import SDK, SERVING, TRAINING, install, made
from tests.sagemaker.conftest import fake, moto_address, pretended  # noqa: F401
from tests.sagemaker.fake_amazon import FakeAmazon
from tests.sagemaker.fake_lives import Life, artifact_address
from tests.test_documents import ROOT, blocks

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "how-to" / "use-the-sagemaker-sdk.md"
ROLE = "arn:aws:iam::123456789012:role/service-role/Studio"
SMALL = {'"hidden-size": 512, "epochs": 50': '"hidden-size": 16, "steps": 12, "threads": 1, "device": "cpu"'}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Containers:
    """Runs what was asked of the pretended Amazon: each job, and each endpoint until the end."""

    def __init__(self, amazon: FakeAmazon, toolkit: Toolkit, serving: Path, folder: Path) -> None:
        self._amazon, self._toolkit, self._serving, self._folder = amazon, toolkit, serving, folder
        self._servers: list[subprocess.Popen[str]] = []
        self._over = threading.Event()
        for _ in range(4):  # they begin, and then wait for what becomes of them here
            amazon.next_job(["Starting"])
            amazon.next_endpoint(["Creating"])
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for server in self._servers:
            server.terminate()
            server.communicate()

    def _watch(self) -> None:
        """A job or endpoint is seen once it exists, so that it can be turned."""
        seen: set[str] = set()
        while not self._over.wait(0.1):
            for name, life in [*self._amazon.jobs.items(), *self._amazon.endpoints.items()]:
                if name not in seen:
                    seen.add(name)
                    self._run(life)

    def _run(self, life: Life) -> None:
        try:
            if "TrainingJobName" in life.request:
                life.logs = self._train(life.request)
                life.turn("Training", "Uploading", "Completed")
            else:
                life.address = self._serve(life.request)
                life.turn("InService")
        except Exception as error:  # it shows where the job or endpoint is waited for
            life.failure = f"{type(error).__name__}: {error}"
            life.turn("Failed")

    def _train(self, request: dict[str, Any]) -> list[str]:
        """The lines of the job's log."""
        base = self._toolkit.lay_out(self._folder / request["TrainingJobName"], "", {})
        (base / "input/config/hyperparameters.json").write_text(json.dumps(request["HyperParameters"]))
        shutil.rmtree(base / "input/data/training")
        for channel in request["InputDataConfig"]:
            place = base / "input/data" / channel["ChannelName"]
            self._fetch(channel["DataSource"]["S3DataSource"]["S3Uri"], place)
        status = self._toolkit.start(base, **_credentials(), AWS_REGION=self._amazon.region).wait(PATIENCE)
        log = (base / "log").read_text("utf-8", "replace")
        assert status == 0, log[-3000:]
        pack_model(base / "model", base / "model.tar.gz")
        self._amazon.put(artifact_address(request), base / "model.tar.gz")
        return [line for line in log.splitlines() if line]

    def _serve(self, request: dict[str, Any]) -> str:
        """The address of the endpoint's server."""
        config = self._amazon.configurations[request["EndpointConfigName"]]
        wanted = config["ProductionVariants"][0]["ModelName"]
        (model,) = [one for one in self._amazon.requests("CreateModel") if one["ModelName"] == wanted]
        container = model["PrimaryContainer"]
        assert "pytorch-inference:2.6" in container["Image"]
        base = Path(tempfile.mkdtemp(dir=self._folder))
        self._fetch(container["ModelDataUrl"], base)
        with tarfile.open(next(base.glob("*.tar.gz"))) as archive:
            archive.extractall(base / "model", filter="data")
        install(self._serving, "-r", base / "model/code/requirements.txt", cwd=self._folder)
        variables = {name: value.replace("/opt/ml", str(base)) for name, value in container["Environment"].items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "SM_"))}
        server = subprocess.Popen(
            [self._serving / "bin/python", HERE / "four_functions.py", "http", base],
            env={**kept, **variables, "SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"},
            cwd=base,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._servers.append(server)
        assert server.stdout is not None
        return f"http://127.0.0.1:{int(server.stdout.readline())}"

    def _fetch(self, address: str, folder: Path) -> None:
        """What is under an address in S3."""
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        s3 = self._amazon.client("s3")
        folder.mkdir(exist_ok=True)
        for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            s3.download_file(bucket, found["Key"], str(folder / Path(found["Key"]).name))


def _credentials() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture
def containers(fake: FakeAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:  # noqa: F811
    toolkit = Toolkit(made("training", TRAINING, tmp_path_factory), Path())
    serving = made("serving", SERVING, tmp_path_factory)
    found = Containers(fake, toolkit, serving, tmp_path_factory.mktemp("containers"))
    yield found
    found.close()


@pytest.fixture
def notebook(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in Studio with the text, the code, and what Studio says of itself."""
    (tmp_path / "ml/metadata").mkdir(parents=True)
    (tmp_path / "ml/metadata/resource-metadata.json").write_text(json.dumps({"ExecutionRoleArn": ROLE}))
    (tmp_path / "input.txt").write_text(small_text.read_text("utf-8").replace(":", " ") * 4, "utf-8")
    (config,) = blocks(PAGE, "yaml")
    (tmp_path / "config.yaml").write_text(config, "utf-8")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "ml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_cells(sdk: Path, notebook: Path, *cells: str) -> str:
    """Run Python in the environment of the SDK; what it wrote to stdout."""
    script = notebook / "cells.py"
    script.write_text("\n".join(cells), "utf-8")
    metadata = notebook / "ml/metadata/resource-metadata.json"
    ran = subprocess.run(
        [sdk / "bin/python", HERE / "sdk_notebook.py", metadata, script],
        cwd=notebook,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


def test_the_page(
    cli: Charloom,  # noqa: F811
    fake: FakeAmazon,  # noqa: F811
    containers: Containers,
    notebook: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sdk = made("sdk", SDK, tmp_path_factory)
    (packing,) = blocks(PAGE, "sh")
    assert cli(*packing.split()[1:]).status == 0
    train, *asking, _ = blocks(PAGE, "python")
    for large, small in SMALL.items():
        assert large in train
        train = train.replace(large, small)
    printed = run_cells(sdk, notebook, train, *asking, "print('JOB', estimator.latest_training_job.name)")
    (name,) = re.findall(r"^JOB (.*)$", printed, re.M)

    (request,) = fake.requests("CreateTrainingJob")
    roles = [asked["ExecutionRoleArn"] for asked in fake.requests("CreateModel")]
    assert [request["RoleArn"], *roles] == [ROLE] * 3
    assert "the protocol cold-60" in printed, f"the log of the job, followed by fit: {printed}"
    assert len(re.findall(r"he did content to say.{164}$", printed, re.M)) == 1, printed
    assert len(re.findall(r"you are .{52}$", printed, re.M)) == 1, printed
    assert fake.operations().count("DeleteEndpoint") == fake.operations().count("CreateEndpoint") == 2
    assert fake.operations().count("DeleteModel") == 2

    (block,) = blocks(PAGE, "sh job")
    status, attaching, deploying = (line.split()[1:] for line in block.replace("JOB", name).splitlines())
    assert "Completed" in cli(*status).out
    fetched = cli(*attaching)
    assert fetched.status == 0, fetched.err
    assert charloom.load("runs/mine").generate("the ", length=5).characters == 5
    deployed = cli(*deploying, "--yes")
    assert deployed.status == 0, deployed.err
    assert fake.requests("CreateModel")[-1]["ExecutionRoleArn"] == ROLE


def test_a_job_of_ours_becomes_an_estimator(
    cli: Charloom,  # noqa: F811
    fake: FakeAmazon,  # noqa: F811
    notebook: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ours = cli("sagemaker", "train", "input.txt", "--name", "ours", "--steps", "2", "--no-wait", "--yes")
    assert ours.status == 0, ours.err
    (request,) = fake.requests("CreateTrainingJob")
    assert request["RoleArn"] == ROLE
    cells = "from sagemaker.pytorch import PyTorch", blocks(PAGE, "python")[-1].replace("JOB", "ours")
    printed = run_cells(made("sdk", SDK, tmp_path_factory), notebook, *cells, "print(estimator.entry_point)")
    address, entry_point = printed.splitlines()[-2:]
    assert (address.endswith("/ours/output/model.tar.gz"), entry_point) == (True, "train.py")
