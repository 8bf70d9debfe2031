"""SageMaker's own training toolkit, in an environment of its own, runs our packed job. `scripts/prove` runs this."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.bundle import open_model_directory
from charloom.sagemaker.source_dir import pack_source
from tests.faults.processes import newest_step
from tests.proofs.toolkits import TRAINING, made

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ("PYTHONPATH", "VIRTUAL", "SM_", "SAGEMAKER_", "TORCHELASTIC_", "AWS_")
PATIENCE = 300  # seconds
GROUP, TWO_PROCESSES = "homogeneousCluster", {"sagemaker_mpi_num_of_processes_per_host": 2}
SMALL: dict[str, Any] = {
    "hidden_size": 16, "embedding-size": 8, "batch-size": 8, "bptt": 32, "steps": 12, "evaluate-every": 6,
    "learning-rate": 0.01, "threads": 1, "device": "cpu",
}  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Ran:
    """What a job came to."""

    status: int
    log: str
    base: Path

    def left(self, name: str) -> str | None:
        """The content of `output/failure` or `output/success`."""
        path = self.base / "output" / name
        return path.read_text("utf-8") if path.exists() else None


@dataclass(frozen=True)
class Toolkit:
    """A substitute for the image's environment, and what SageMaker would unpack into it."""

    folder: Path
    source: Path

    def lay_out(self, base: Path, text: str, hyperparameters: Mapping[str, Any], *, torchrun: bool = False) -> Path:
        """The tree of a job."""
        for folder in ("input/config", "input/data/training", "model", "output/data", "code"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        (base / "input/data/training/a.txt").write_text(text, "utf-8")
        given = {
            **hyperparameters,
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": str(self.source),
            "sagemaker_region": "us-east-1",
        }
        if torchrun:
            given |= {"sagemaker_torch_distributed_enabled": True, "sagemaker_distribution_instance_groups": [GROUP]}
        group = {"instance_group_name": GROUP, "instance_type": "ml.m5.large", "hosts": ["localhost"]}
        files: dict[str, Any] = {
            "hyperparameters": {name: json.dumps(value) for name, value in given.items()},
            "inputdataconfig": {"training": {"TrainingInputMode": "File"}},
            "resourceconfig": {
                "current_host": "localhost",
                "hosts": ["localhost"],
                "network_interface_name": "lo",
                "current_instance_type": "ml.m5.large",
                "current_group_name": GROUP,
                "instance_groups": [group],
            },
        }
        for name, content in files.items():
            (base / f"input/config/{name}.json").write_text(json.dumps(content), "utf-8")
        return base

    def start(self, base: Path, **variables: str) -> subprocess.Popen[bytes]:
        """`train`, as the image starts it; its log is beside the tree."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        environment = {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{kept['PATH']}",
            "SAGEMAKER_BASE_DIR": str(base),
            "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
            "OMP_NUM_THREADS": "1",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            **variables,
        }
        with (base / "log").open("wb") as log:
            return subprocess.Popen(
                [self.folder / "bin/train"],
                env=environment,
                cwd=base,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, base: Path) -> Ran:
        """Run a job to its end."""
        status = self.start(base).wait(PATIENCE)
        return Ran(status, (base / "log").read_text("utf-8", "replace"), base)


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Toolkit:
    return Toolkit(made("training", TRAINING, tmp_path_factory), pack_source(tmp_path_factory.mktemp("source")))


@pytest.fixture
def text(small_text: Path) -> str:
    return small_text.read_text("utf-8")[:4_000]


def torch_files(toolkit: Toolkit) -> float:
    """When torch was installed."""
    (record,) = toolkit.folder.glob("lib/python*/site-packages/torch-*.dist-info/RECORD")
    return record.stat().st_mtime


def test_a_job_runs_and_its_model_deploys(toolkit: Toolkit, text: str, tmp_path: Path) -> None:
    """With a recipe whose name has all that a shell would trip over."""
    before = torch_files(toolkit)
    recipe = tmp_path / 'it\'s "so" $(touch x)\n😀.yaml'
    recipe.write_text("training: {learning_rate: 0.02}\nmodel: {dropout: 0.0}\n", "utf-8")
    base = toolkit.lay_out(tmp_path / "ml", text, {**SMALL, "recipe": str(recipe)})
    ran = toolkit.run(base)
    assert (ran.status, ran.left("success"), ran.left("failure")) == (0, "", None), ran.log
    assert torch_files(toolkit) == before
    assert "Installing dependencies from requirements.txt" in ran.log
    assert "validation is measured by" in ran.log
    assert re.search(r"step 12 · .* bits/char", ran.log)
    config = open_model_directory(base / "model").config
    assert config.training["recipe"] == str(recipe)
    assert len(charloom.load(base / "model").generate("The ", length=20).text) == 20
    assert {"inference.py", "requirements.txt"} < {path.name for path in (base / "model/code").iterdir()}
    assert (base / "output/data/metrics.jsonl").stat().st_size > 0
    assert not (tmp_path / "ml/code/x").exists()


@pytest.mark.parametrize("torchrun", [False, True], ids=["python", "torchrun"])
def test_a_failure_says_ours_first(toolkit: Toolkit, text: str, tmp_path: Path, torchrun: bool) -> None:
    more = TWO_PROCESSES if torchrun else {}
    base = toolkit.lay_out(tmp_path / "ml", text, {**SMALL, **more, "hiden-size": "it's\n😀"}, torchrun=torchrun)
    ran = toolkit.run(base)
    assert ran.status == 1
    assert ran.left("success") is None
    code = 1 if torchrun else 2  # torchrun has a status of its own
    said = ran.left("failure") or ""
    assert said.startswith(
        f"ExecuteUserScriptError:\nExitCode {code}\nErrorMessage \"charloom: there is no hyperparameter 'hiden-size' "
        f"(did you mean hidden-size?); those that exist: "
    )
    assert len(said[: said.index("window-dropout")]) < 1024, "SageMaker shows so much"
    assert torchrun or "Traceback" not in ran.log
    assert not any((base / "model").iterdir())


def test_an_exception_on_the_way_is_exit_code_1(toolkit: Toolkit, tmp_path: Path) -> None:
    ran = toolkit.run(toolkit.lay_out(tmp_path / "ml", "", SMALL))
    assert ran.status == 1
    assert (ran.left("failure") or "").startswith('ExecuteUserScriptError:\nExitCode 1\nErrorMessage "charloom: ')
    assert "Traceback" not in ran.log


def test_a_job_that_was_taken_away_goes_on(toolkit: Toolkit, text: str, tmp_path: Path) -> None:
    more = {"steps": 1_500, "evaluate-every": 750, "checkpoint-every": "0.2s"}
    base = toolkit.lay_out(tmp_path / "ml", text, {**SMALL, **more})
    process = toolkit.start(base)
    deadline = time.monotonic() + PATIENCE
    while newest_step(base / "checkpoints") < 1:
        assert process.poll() is None, (base / "log").read_text("utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    reached = newest_step(base / "checkpoints")
    with tempfile.TemporaryDirectory() as elsewhere:  # a fresh machine: only the checkpoints come with the job
        again = toolkit.lay_out(Path(elsewhere), text, {**SMALL, **more})
        (base / "checkpoints").rename(again / "checkpoints")
        ran = toolkit.run(again)
        assert (ran.status, ran.left("failure")) == (0, None), ran.log
        result = open_model_directory(again / "model").config.training["result"]
        assert reached <= result["resumed_from_step"] < result["steps"] == 1_500


def test_two_processes_of_torchrun_train_one_model(toolkit: Toolkit, text: str, tmp_path: Path) -> None:
    base = toolkit.lay_out(tmp_path / "ml", text, {**SMALL, **TWO_PROCESSES}, torchrun=True)
    ran = toolkit.run(base)
    assert (ran.status, ran.left("success")) == (0, ""), ran.log
    assert "torchrun --nnodes 1 --nproc_per_node 2 train.py" in ran.log
    history = (base / "output/data/metrics.jsonl").read_text("utf-8").splitlines()
    steps = [record["step"] for record in map(json.loads, history) if "train_loss" in record]
    assert steps == list(range(1, 13)), "one rank writes"
    assert len(charloom.load(base / "model").generate("The ", length=20).text) == 20
