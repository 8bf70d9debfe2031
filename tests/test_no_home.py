"""A user without a home, such as a number that the system does not know: what a container may be started as."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import charloom
from charloom.errors import StorageError
from charloom.kernel.build import compile_library
from charloom.sagemaker import list_jobs
from charloom.text import named

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such users")


@pytest.fixture(autouse=True)
def _no_home(trained: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "CHARLOOM_CACHE", "CHARLOOM_HOME"):
        monkeypatch.delenv(name, raising=False)

    def is_unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", is_unknown)


def test_the_compiled_kernel_is_found() -> None:
    assert compile_library().is_file()


def test_a_model_is_trained(small_text: Path, tmp_path: Path) -> None:
    charloom.train(
        small_text,
        tmp_path / "m",
        hidden_size=8,
        embedding_size=4,
        batch_size=4,
        bptt=16,
        steps=2,
        threads=1,
        device="cpu",
    )
    assert len(charloom.load(tmp_path / "m").generate("The ", length=5, seed=1).text) == 5


def test_a_download_says_what_to_set() -> None:
    with pytest.raises(StorageError, match="CHARLOOM_CACHE"):
        named.cache_folder()


def test_jobs_and_endpoints_say_what_to_set() -> None:
    with pytest.raises(StorageError, match="CHARLOOM_HOME"):
        list_jobs(None)
