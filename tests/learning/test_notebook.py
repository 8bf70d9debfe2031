"""The article's notebook: it runs, and what is stored in it was said by its own cells."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.learning.pages import DOCS, ROOT

NOTEBOOK = DOCS / "tutorials" / "the-article.ipynb"


def said(notebook: Any) -> list[str]:
    """What each code cell wrote."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join("".join(part.get("text", "")) for part in cell["outputs"]) for cell in cells]


def test_the_stored_notebook_shows_what_the_cells_said() -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    words = said(stored)
    assert words[1].startswith("894,876 characters\n")
    assert words[2].startswith("38 symbols")
    assert words[7].startswith("185 characters: he did content to say")
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
    words = said(tool.carried_out(NOTEBOOK, tmp_path, timeout=240))
    assert len(words) == 12
    assert words[7].startswith("185 characters: he did content to say")
    assert "sagemaker create_training_job" in words[10]
