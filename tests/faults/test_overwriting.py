"""`--overwrite` keeps the old model until the new one is whole, however the new run ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import charloom as library
from charloom.errors import StorageError, TrainingError
from charloom.events import Event, Notice
from tests.cli.conftest import Charloom, charloom, one_line
from tests.faults.processes import Running, history, newest_step
from tests.faults.test_folders import TINY, contents
from tests.training.test_run import OPTIONS, after, full_disk, nan_after

__all__ = ["charloom"]


@pytest.fixture
def old(trained: Path, tmp_path: Path) -> Path:
    """A good model, with a note beside it."""
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    (folder / "notes.txt").write_text("mine", "utf-8")
    return folder


def assert_kept(folder: Path, before: dict[str, bytes | None]) -> None:
    """All that was there is there; what is new is in `training/`."""
    after = contents(folder)
    assert {name: content for name, content in after.items() if not name.startswith("training")} == before
    assert library.load(folder).generate("a", length=3).text


def run_of(folder: Path) -> object:
    return json.loads((folder / "config.json").read_bytes())["training"].get("run")


@pytest.mark.slow
def test_while_it_runs_killed_and_resumed(charloom: Charloom, small_text: Path, old: Path) -> None:
    before = contents(old)
    with Running("train", small_text, "-o", old, "--overwrite", *TINY, "--steps", 100_000) as running:
        running.until(lambda: newest_step(old) >= 1)
        assert_kept(old, before)
        shown = charloom("inspect", old)
        assert shown.status == 0
        assert "to be replaced by an unfinished run" in shown.out
        assert "it is whole" in shown.out
        running.process.kill()
        running.finish()
    assert_kept(old, before)
    refused = charloom("train", small_text, "-o", old, *TINY, "--steps", 10)
    assert "an unfinished training run" in one_line(refused)
    assert_kept(old, before)


@pytest.mark.slow
def test_interrupted_it_keeps_the_old_and_saves_the_new_beside(charloom: Charloom, small_text: Path, old: Path) -> None:
    before = contents(old)
    words = ("train", small_text, "-o", old, *TINY, "--steps", 1_000_000, "--evaluate-every", 20)
    with Running(*words, "--overwrite", "--json") as running:
        running.until(lambda: newest_step(old) >= 20)
        running.process.send_signal(signal.SIGINT)
        status, out, err = running.finish()
    assert status == 130, err
    result = json.loads(out)
    assert result["interrupted"]
    assert result["model"] == str(old / "training" / "best")
    assert library.load(result["model"]).generate("a", length=3).text
    assert str(old / "training" / "best") in err
    assert_kept(old, before)


def test_resumed_it_is_finished_over_the_old(charloom: Charloom, small_text: Path, old: Path) -> None:
    before, was = contents(old), run_of(old)
    stopped = library.train(small_text, old, overwrite=True, should_stop=after(12), **OPTIONS)
    assert stopped.model == str(old / "training" / "best")
    assert_kept(old, before)
    ran = charloom("train", small_text, "-o", old, "--resume", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["resumed_from_step"] == 12
    assert run_of(old) != was
    steps = [record["step"] for record in history(old) if "train_loss" in record]
    assert steps == list(range(1, OPTIONS["steps"] + 1)), "the history is the new run's alone"
    assert charloom("inspect", old).status == 0
    assert set(contents(old)) == set(before)
    assert (old / "notes.txt").read_text("utf-8") == "mine"


def test_its_own_earlier_result_is_replaced_when_it_is_interrupted_again(small_text: Path, tmp_path: Path) -> None:
    """Ctrl-C after `--resume` saves what is best by then."""
    folder = tmp_path / "m"
    first = library.train(small_text, folder, should_stop=after(4), **OPTIONS)
    assert first.model == str(folder)
    whole = contents(folder)
    second = library.train(small_text, folder, should_stop=after(9), resume=True)
    assert second.model == str(folder)
    assert second.steps == 13
    assert contents(folder)["config.json"] != whole["config.json"]
    assert not [check for check in _checks(folder) if not check.harmless]


def _checks(folder: Path) -> list[Any]:
    from charloom.bundle import open_model_directory

    return list(open_model_directory(folder).check_files())


@pytest.mark.slow
@pytest.mark.parametrize("updates", [0, 15])
def test_diverged(small_text: Path, old: Path, monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    before = contents(old)
    with monkeypatch.context() as patch:
        nan_after(updates, patch)
        with pytest.raises(TrainingError) as caught:
            library.train(small_text, old, overwrite=True, **OPTIONS)
    assert ("is kept" if updates == 0 else str(old / "training" / "best")) in str(caught.value)
    assert_kept(old, before)
    if updates:
        assert library.load(old / "training" / "best").generate("a", length=3).text
    library.train(small_text, old, overwrite=True, **{**OPTIONS, "steps": 2})
    assert set(contents(old)) == set(before)


def test_a_full_disk(small_text: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(old)
    with monkeypatch.context() as patch:
        full_disk(patch, old, ".model.onnx.*.part")
        with pytest.raises(StorageError, match="disk is full"):
            library.train(small_text, old, overwrite=True, **OPTIONS)
    assert_kept(old, before)
    result = library.train(small_text, old, resume=True)
    assert result.resumed_from_step == OPTIONS["steps"]
    assert set(contents(old)) == set(before)


def test_no_room_for_the_first_file(small_text: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(old)
    monkeypatch.setattr(os, "fsync", _no_room)
    with pytest.raises(StorageError, match="disk is full"):
        library.train(small_text, old, overwrite=True, **OPTIONS)
    assert contents(old) == before


def _no_room(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_fine_tuning_in_place(small_text: Path, old: Path) -> None:
    before, was = contents(old), run_of(old)
    options: dict[str, Any] = {
        "steps": 30,
        "evaluate_every": 10,
        "threads": 1,
        "device": "cpu",
        "batch_size": 8,
        "bptt": 32,
    }
    stopped = library.train(small_text, old, init_from=old, overwrite=True, should_stop=after(12), **options)
    assert stopped.interrupted
    assert_kept(old, before)
    result = library.train(small_text, old, resume=True)
    assert (result.resumed_from_step, result.steps) == (12, 30)
    assert run_of(old) != was


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_never_taken(small_text: Path, old: Path, tmp_path: Path) -> None:
    """The record is of the one run and a checkpoint of the other: it starts from the beginning, and says so."""
    other = tmp_path / "other"
    library.train(small_text, other, should_stop=after(23), **OPTIONS)
    library.train(small_text, old, overwrite=True, should_stop=after(12), **OPTIONS)
    for checkpoint in (old / "training").glob("checkpoint-*"):
        checkpoint.unlink()
    for checkpoint in (other / "training").glob("checkpoint-*"):
        shutil.copy(checkpoint, old / "training")
    events: list[Event] = []
    result = library.train(small_text, old, resume=True, notify=events.append)
    assert result.resumed_from_step == 0
    assert any("starting from the beginning" in event.message for event in events if isinstance(event, Notice))
