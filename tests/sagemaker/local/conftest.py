"""A home of its own for the jobs and endpoints of each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from charloom.sagemaker.local.endpoints import delete_here
from charloom.sagemaker.local.job import delete_job
from charloom.sagemaker.local.records import HOME, recorded_names


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing of a test is left running."""
    folder = tmp_path / "home"
    monkeypatch.setenv(HOME, str(folder))
    yield folder
    monkeypatch.setenv(HOME, str(folder))
    for name in recorded_names("endpoints"):
        delete_here(name)
    for name in recorded_names("jobs"):
        delete_job(name)
