"""Each promise of docs/explanation/promises.md names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "promises.md"


def rows() -> list[tuple[str, str]]:
    """Promise and what holds it, of every table of the page."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return [(promise.strip(), held.strip()) for promise, held in cells if promise.strip() != "Promise"]


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_tests_that_are_there() -> None:
    assert len(rows()) > 30
    for promise, held in rows():
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", held)
        assert named, promise
        for file, name in named:
            assert name in functions_of(ROOT / file), f"{promise} {file}::{name}"
