"""The page on the SageMaker SDK, without the SDK: what it names exists. `tests/proofs` runs it with the real one."""

from __future__ import annotations

import ast
import tarfile
from pathlib import Path

import pytest

from charloom.sagemaker import package
from charloom.sagemaker.container.hyperparameters import checked
from tests.cli.conftest import Charloom
from tests.test_documents import ROOT, blocks

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
    assert checked(ast.literal_eval(estimator["hyperparameters"])) == {
        "recipe": "article", "clean": "article", "hidden_size": 512, "epochs": 50,
    }  # fmt: skip


def test_the_model_brings_the_entry_point_that_the_model_object_names(trained: Path, tmp_path: Path) -> None:
    (model,) = arguments("PyTorchModel")
    with tarfile.open(package(trained, tmp_path / "model.tar.gz", check=False).path) as archive:
        assert f"code/{ast.literal_eval(model['entry_point'])}" in archive.getnames()


def test_the_commands_on_a_job_of_the_sdk(cli: Charloom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "sh job")
    for line in block.splitlines():
        ran = cli(*line.split()[1:], "--dry-run", "--region", "eu-west-1")
        assert ran.status == 0, ran.err
