"""The article's notebook: it runs, and what is stored in it was said by its own cells."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom import sagemaker
from tests.learning.pages import DOCS, ROOT

NOTEBOOK = DOCS / "tutorials" / "the-article.ipynb"


def said(notebook: Any) -> list[str]:
    """What each code cell wrote."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join("".join(part.get("text", "")) for part in cell["outputs"]) for cell in cells]


def shape(notebook: Any) -> list[list[tuple[str, list[str], int]]]:
    """Of each code cell's outputs the kind, the types of data and the number of lines."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [
        [
            (part["output_type"], sorted(part.get("data", ())), "".join(part.get("text", "")).count("\n"))
            for part in cell["outputs"]
        ]
        for cell in cells
    ]


def test_the_stored_notebook_was_carried_out_from_beginning_to_end() -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    counts = [cell["execution_count"] for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    silent = [cell for cell in stored["cells"] if cell["cell_type"] == "code" and not cell["outputs"]]
    assert len(silent) == 1, "all but the first have something to say"


def test_the_notebook_uses_public_names_only() -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    program = ast.parse("\n".join("".join(cell["source"]) for cell in stored["cells"] if cell["cell_type"] == "code"))
    imported = [each.module or "" for each in ast.walk(program) if isinstance(each, ast.ImportFrom)]
    imported += [name.name for each in ast.walk(program) if isinstance(each, ast.Import) for name in each.names]
    ours = {name for name in imported if name.partition(".")[0] == "charloom"}
    assert ours == {"charloom", "charloom.sagemaker.inference"}
    for name, module in (("charloom", charloom), ("sagemaker", sagemaker)):
        used = [
            each.attr
            for each in ast.walk(program)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == name
        ]
        assert used
        assert set(used) <= {*module.__all__, "__version__"}


def test_the_stored_notebook_shows_what_the_cells_said() -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    words = said(stored)
    assert words[1].startswith("894,876 characters\n")
    assert words[2].startswith("38 symbols")
    assert words[6].startswith("PyTorch ")
    assert words[8].startswith("185 characters: he did content to say")
    assert not any(part["output_type"] == "error" for cell in stored["cells"] for part in cell.get("outputs", ()))
    assert NOTEBOOK.stat().st_size < 150_000
    assert str(Path.home()) not in NOTEBOOK.read_text("utf-8")


@pytest.mark.slow
def test_the_notebook_runs(small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text(small_text.read_text("utf-8") * 3, "utf-8")
    monkeypatch.setenv("CHARLOOM_NOTEBOOK_CORPUS", str(text))
    monkeypatch.setenv("CHARLOOM_NOTEBOOK_HIDDEN_SIZE", "8")
    monkeypatch.setenv("CHARLOOM_NOTEBOOK_EPOCHS", "0.05")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "tools" / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    ran = tool.carried_out(NOTEBOOK, tmp_path, timeout=240)
    words = said(ran)
    assert words[8].startswith("185 characters: he did content to say")
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    assert shape(ran) == shape(stored), "what is stored is not what the cells say: run scripts/notebook"
    assert words[11:] == said(stored)[11:], "the requests to Amazon"
