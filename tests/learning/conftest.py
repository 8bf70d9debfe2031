"""The folder in which a page is followed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.learning.pages import Reader


@pytest.fixture
def reader(tmp_path: Path, small_text: Path) -> Reader:
    """A reader in a folder with the files that the pages speak of."""
    (tmp_path / "your-text.txt").write_text(small_text.read_text("utf-8")[:6000], "utf-8")
    syllables = ["an", "na", "le", "li", "mar", "el", "so", "jo", "zi", "ra"]
    names = [first + second + last for first in syllables for second in syllables for last in ("a", "ie", "n")]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    return Reader(tmp_path)


@pytest.fixture
def with_model(reader: Reader, trained: Path) -> Reader:
    """A reader who has trained `runs/yours` already."""
    shutil.copytree(trained, reader.folder / "runs" / "yours")
    return reader
