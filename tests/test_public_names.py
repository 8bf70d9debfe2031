from __future__ import annotations

import subprocess
import sys

import pytest

import charloom
from charloom.errors import (
    BusyError,
    CharloomError,
    CloudError,
    CorpusError,
    MissingExtraError,
    ModelDirectoryError,
    StorageError,
    TrainingError,
    UsageError,
)


def test_the_public_names_are_pinned() -> None:
    assert charloom.__all__ == [
        "Adaptation",
        "CharloomError",
        "Continuation",
        "Engine",
        "Evaluation",
        "Generation",
        "Model",
        "Novelty",
        "Recitation",
        "Score",
        "TextStream",
        "TrainingResult",
        "UsageError",
        "__version__",
        "adapt",
        "load",
        "train",
    ]
    for name in charloom.__all__:
        assert getattr(charloom, name) is not None
    assert dir(charloom) == sorted(charloom.__all__)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="'no_such_name'"):
        charloom.no_such_name  # noqa: B018


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_importing_is_light() -> None:
    heavy = "{'torch', 'onnx', 'onnxruntime', 'numpy', 'matplotlib', 'yaml', 'rich', 'boto3', 'smart_open'}"
    assert run_python(f"import charloom, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_running_a_model_needs_no_torch() -> None:
    heavy = "{'torch', 'onnx', 'matplotlib', 'yaml', 'rich', 'boto3'}"
    code = f"import charloom, sys; charloom.load; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]"


@pytest.mark.parametrize("package", ["torch", pytest.param("yaml", marks=pytest.mark.slow)])
def test_training_without_its_extra_says_what_to_install(package: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
import charloom
try:
    charloom.train
except charloom.CharloomError as error:
    print(type(error).__name__, error)
"""
    assert run_python(code) == ("MissingExtraError training needs the 'train' extra: pip install 'charloom[train]'")


def test_one_tree_of_errors() -> None:
    kinds: list[type[CharloomError]] = [
        UsageError,
        CorpusError,
        ModelDirectoryError,
        TrainingError,
        StorageError,
        BusyError,
        CloudError,
        MissingExtraError,
    ]
    assert all(issubclass(kind, CharloomError) for kind in kinds)
    assert {kind.__name__: kind.exit_code for kind in kinds if kind.exit_code != 1} == {"UsageError": 2}
    assert issubclass(UsageError, ValueError)
    assert MissingExtraError("this", "serve").extra == "serve"
