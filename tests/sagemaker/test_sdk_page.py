"""The page on the SageMaker SDK, without the SDK: what it names exists. `tests/proofs` runs it with the real one."""

from __future__ import annotations

import ast
import tarfile
from pathlib import Path

import boto3
import pytest

import charloom
from charloom.sagemaker import package
from charloom.sagemaker.container.hyperparameters import check_hyperparameters
from tests.cli.conftest import Charloom
from tests.test_documents import ROOT, blocks

from .fake_amazon import FakeAmazon

PAGE = ROOT / "docs" / "how-to" / "use-the-sagemaker-sdk.md"


def arguments(name: str) -> list[dict[str, ast.expr]]:
    """The keywords of each call of a name in the page's Python."""
    nodes = [node for block in blocks(PAGE, "python") for node in ast.walk(ast.parse(block))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == name]
    return [{word.arg: word.value for word in call.keywords if word.arg} for call in calls]


def test_the_code_is_written_where_the_estimator_looks(
    cli: Charloom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (packing,) = blocks(PAGE, "sh")
    assert cli(*packing.split()[1:]).status == 0
    (estimator,) = arguments("PyTorch")
    assert Path(ast.literal_eval(estimator["source_dir"]), ast.literal_eval(estimator["entry_point"])).is_file()
    assert check_hyperparameters(ast.literal_eval(estimator["hyperparameters"])) == {
        "recipe": "article", "clean": "article", "hidden_size": 512, "epochs": 50,
    }  # fmt: skip


def test_the_model_brings_the_entry_point_that_the_model_object_names(trained: Path, tmp_path: Path) -> None:
    (model,) = arguments("PyTorchModel")
    with tarfile.open(package(trained, tmp_path / "model.tar.gz", check=False).path) as archive:
        assert f"code/{ast.literal_eval(model['entry_point'])}" in archive.getnames()


SDK_JOB = {
    "TrainingJobName": "pytorch-training-2026-11-28-22-32-31-766",
    "AlgorithmSpecification": {
        "TrainingImage": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6-gpu-py312",
        "TrainingInputMode": "File",
    },
    "RoleArn": "arn:aws:iam::123456789012:role/Studio",
    "InputDataConfig": [
        {
            "ChannelName": "training",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": "s3://sagemaker-eu-west-1-123456789012/article/input.txt",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://sagemaker-eu-west-1-123456789012/"},
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "HyperParameters": {
        "recipe": '"article"',
        "sagemaker_program": '"train.py"',
        "sagemaker_container_log_level": "20",
    },
    "DebugHookConfig": {"S3OutputPath": "s3://sagemaker-eu-west-1-123456789012/", "CollectionConfigurations": []},
    "ProfilerConfig": {"S3OutputPath": "s3://sagemaker-eu-west-1-123456789012/", "DisableProfiler": False},
}
"""What the SDK sends for the page's estimator."""


@pytest.mark.slow
def test_the_commands_on_a_job_of_the_sdk(
    cli: Charloom, fake: FakeAmazon, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CHARLOOM_SAGEMAKER_ROLE", "Studio")
    fake.next_job(["Training", "Completed"], artifact=package(trained, "model.tar.gz", check=False).path)
    boto3.client("sagemaker").create_training_job(**SDK_JOB)
    name = str(SDK_JOB["TrainingJobName"])
    (block,) = blocks(PAGE, "sh job")
    status, attach, deploy = (line.split()[1:] for line in block.replace("JOB", name).splitlines())
    assert "Training" in cli(*status).out
    assert "Completed" in cli(*status).out
    attached = cli(*attach)
    assert attached.status == 0, attached.err
    assert charloom.load("runs/mine").generate("The ", length=5).characters == 5
    deployed = cli(*deploy, "--yes")
    assert deployed.status == 0, deployed.err
    (model,) = fake.requests("CreateModel")
    assert model["PrimaryContainer"]["ModelDataUrl"].endswith(f"/{name}/output/model.tar.gz")
