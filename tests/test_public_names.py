from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import charloom
import charloom.errors
from charloom import (
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

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ("charloom", "charloom.events", "charloom.options", "charloom.sagemaker")
FOUR_FUNCTIONS = {"model_fn", "input_fn", "predict_fn", "output_fn"}  # of charloom.sagemaker.inference
FOR_CONTRIBUTORS = ("add-a-cell.md",)


def test_the_public_names_are_pinned() -> None:
    assert charloom.__all__ == [
        "Activations",
        "Adaptation",
        "BusyError",
        "CharloomError",
        "Chunk",
        "ClassesResult",
        "Classification",
        "Classifier",
        "CloudError",
        "Completion",
        "Continuation",
        "Corpus",
        "CorpusError",
        "Detector",
        "Engine",
        "EngineStatus",
        "Evaluation",
        "Generation",
        "HubError",
        "MissingExtraError",
        "Model",
        "ModelDirectoryError",
        "Novelty",
        "Pushed",
        "Recitation",
        "SamplingSettings",
        "Score",
        "StorageError",
        "TextStream",
        "Token",
        "TrainingError",
        "TrainingResult",
        "UsageError",
        "__version__",
        "adapt",
        "cross_score",
        "load",
        "predicted_loss",
        "push",
        "read_corpus",
        "train",
        "train_classes",
    ]
    for name in charloom.__all__:
        assert getattr(charloom, name) is not None
    assert dir(charloom) == sorted(charloom.__all__)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="'no_such_name'"):
        charloom.no_such_name  # noqa: B018


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=6000
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


def shown_programs() -> Iterator[tuple[str, str]]:
    """Every Python program that the documents show, with where it is."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if page.name not in FOR_CONTRIBUTORS:
            for block in re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
                yield str(page.relative_to(ROOT)), block
    for notebook in sorted((ROOT / "docs").rglob("*.ipynb")):
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield str(notebook.relative_to(ROOT)), "".join(cell["source"])
    for example in sorted((ROOT / "examples").glob("*.py")):
        yield str(example.relative_to(ROOT)), example.read_text("utf-8")


def imported(program: str) -> Iterator[tuple[str, str]]:
    """What a program imports of charloom, as module and name, also in programs that it has as strings."""
    try:
        tree = ast.parse(program)
    except SyntaxError:  # a signature in the reference
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "charloom":
            yield from ((node.module or "", each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names if each.name.split(".")[0] == "charloom")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
            yield from imported(node.value)


def test_what_is_shown_imports_public_names_alone() -> None:
    found = [(place, *each) for place, program in shown_programs() for each in imported(program)]
    assert len(found) > 20
    for place, module, name in found:
        if module == "charloom.sagemaker.inference":
            assert name in FOUR_FUNCTIONS, place
        elif name and f"{module}.{name}" not in PUBLIC:
            assert module in PUBLIC, f"{place}: {module}.{name}"
            assert name in importlib.import_module(module).__all__, f"{place}: {module}.{name}"
        else:
            assert module in PUBLIC, f"{place}: {module}"


def test_every_error_can_be_imported_from_charloom() -> None:
    kinds = [kind for kind in vars(charloom.errors).values() if isinstance(kind, type)]
    assert all(getattr(charloom, kind.__name__) is kind for kind in kinds if issubclass(kind, CharloomError))
