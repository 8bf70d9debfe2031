"""A prepared corpus that another program changes while it is learned from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, charloom
from tests.faults.processes import Running, newest_step
from tests.faults.test_folders import TINY

__all__ = ["charloom"]


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def with_other_characters(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[::-1])


def with_ids_of_nothing(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)


@pytest.mark.slow
@pytest.mark.parametrize("change", [cut_short, emptied, with_other_characters, with_ids_of_nothing])
def test_it_is_an_error_in_words(
    charloom: Charloom, small_text: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "p").status == 0
    os.utime(tmp_path / "p" / "ids.bin", (1, 1))  # as if it had been prepared long ago
    with Running("train", tmp_path / "p", "-o", tmp_path / "m", *TINY, "--steps", 1_000_000) as running:
        running.until(lambda: newest_step(tmp_path / "m") >= 0)
        change(tmp_path / "p" / "ids.bin")
        status, _, err = running.finish()
    assert status == 1, err
    assert "ids.bin was changed by another program" in err.splitlines()[-1]
    assert not (tmp_path / "m" / "config.json").exists()


@pytest.mark.slow
def test_one_that_is_prepared_anew_meanwhile_does_no_harm(charloom: Charloom, small_text: Path, tmp_path: Path) -> None:
    """The files that were opened are read to the end of the run."""
    (tmp_path / "other.txt").write_text("another text\n" * 500, "utf-8")
    assert charloom("corpus", "prepare", small_text, "-o", tmp_path / "p").status == 0
    expected = charloom("train", tmp_path / "p", "-o", tmp_path / "alone", *TINY, "--steps", 30, "--json").json
    with Running("train", tmp_path / "p", "-o", tmp_path / "m", *TINY, "--steps", 30, "--json") as running:
        running.until(lambda: newest_step(tmp_path / "m") >= 0)
        assert charloom("corpus", "prepare", tmp_path / "other.txt", "-o", tmp_path / "p", "--overwrite").status == 0
        assert running.finish()[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("alone", "m")]
    assert weights[0] == weights[1]
    assert expected["steps"] == 30
