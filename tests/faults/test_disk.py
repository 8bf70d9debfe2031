"""Disks that are full, and files that are not what they were."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from safetensors.torch import load_file, save_file

import charloom
from charloom.errors import StorageError
from charloom.events import Event, Notice, StepTaken
from charloom.training.checkpoint import Checkpoints
from tests.faults.processes import history, newest_step
from tests.training.test_run import OPTIONS, after, full_disk, losses, nan_after, no_temporary_files


@pytest.fixture(scope="module")
def text(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(small_text.read_text("utf-8")[:4_000], "utf-8")
    return path


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    charloom.train(text, folder, **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def stopped(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "stopped"
    charloom.train(text, folder, should_stop=after(23), **OPTIONS)
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A run that was stopped after step 23, with checkpoints of steps 20 and 23."""
    shutil.copytree(stopped, tmp_path / "m")
    return tmp_path / "m"


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "training").glob("checkpoint-*.safetensors"))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    """What a file system may make of a file that was not flushed when the power failed."""
    path.write_bytes(bytes(path.stat().st_size))


def header_length_damaged(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def header_damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:20] + b"\x00\xff{{" + content[24:])


def progress_damaged(path: Path) -> None:
    content = path.read_bytes()
    assert b'\\"step\\"' in content
    path.write_bytes(content.replace(b'\\"step\\"', b'\\"stop\\"', 1))


def progress_missing(path: Path) -> None:
    save_file(load_file(path), path)


def optimizer_missing(path: Path) -> None:
    _rewrite(path, drop="optimizer.")


def random_state_missing(path: Path) -> None:
    _rewrite(path, drop="random.")


def carried_state_missing(path: Path) -> None:
    _rewrite(path, drop="carried.")


def of_another_shape(path: Path) -> None:
    _rewrite(path, double="model.output.bias")


def moments_of_another_shape(path: Path) -> None:
    _rewrite(path, double="optimizer.0.exp_avg")


def carried_state_of_another_shape(path: Path) -> None:
    _rewrite(path, double="carried.0")


def _rewrite(path: Path, drop: str = "-", double: str = "-") -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(drop)}  # noqa: SIM118
    tensors = {name: tensor.repeat_interleave(2, 0) if name == double else tensor for name, tensor in tensors.items()}
    save_file(tensors, path, metadata)


DAMAGES = [
    cut_short,
    emptied,
    zeroed,
    header_length_damaged,
    header_damaged,
    progress_damaged,
    progress_missing,
    optimizer_missing,
    random_state_missing,
    carried_state_missing,
    of_another_shape,
    moments_of_another_shape,
    carried_state_of_another_shape,
]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_is_damaged_and_the_one_before_is_taken(
    text: Path, whole: Path, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(checkpoints(folder)[-1])
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == 20
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_all_are_damaged_and_it_starts_from_the_beginning(text: Path, whole: Path, folder: Path) -> None:
    for path, damage in zip(checkpoints(folder), (cut_short, header_damaged), strict=True):
        damage(path)
    events: list[Event] = []
    result = charloom.train(text, folder, resume=True, notify=events.append)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert any("starting from the beginning" in notice for notice in notices)
    assert result.resumed_from_step == 0
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert losses(folder) == losses(whole)


def test_a_rescue_passes_over_a_damaged_checkpoint(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest checkpoint is damaged when a loss is no number: back to the one before."""
    folder = tmp_path / "m"
    events: list[Event] = []
    damaged = 0

    def damage_then_go_on() -> bool:
        nonlocal damaged
        if newest_step(folder) == 20 and not damaged:
            damaged += 1
            cut_short(checkpoints(folder)[-1])
            nan_after(3, patch)
        return False

    with monkeypatch.context() as patch:
        nothing = Checkpoints.go_back

        def go_back(*arguments: object) -> bool:
            patch.undo()
            return nothing(*arguments)  # type: ignore[arg-type]

        patch.setattr(Checkpoints, "go_back", go_back)
        result = charloom.train(text, folder, should_stop=damage_then_go_on, notify=events.append, **OPTIONS)
    assert damaged == 1
    (notice,) = [event.message for event in events if isinstance(event, Notice)]
    assert "after step 24: back to step 10 " in notice
    assert result.steps == 30
    assert [record["step"] for record in history(folder) if "train_loss" in record] == list(range(1, 31))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00garbage\n",
        b'{"step": 3, "train_loss": 1.0}\n{"step": 4, "train_lo',
        b'[1, 2]\n"text"\n{"no_step": 1}\n{"step": "4"}\n',
    ],
)
def test_a_damaged_history_does_not_end_a_run(text: Path, whole: Path, folder: Path, damage: bytes) -> None:
    (folder / "metrics.jsonl").write_bytes(damage)
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == 23
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [record["step"] for record in records if "train_loss" in record][-7:] == list(range(24, 31))


def test_a_history_that_is_gone_does_not_end_a_run(text: Path, whole: Path, folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    charloom.train(text, folder, resume=True)
    assert losses(folder) == {30: losses(whole)[30]}


def test_the_line_a_crash_cut_short_is_not_glued_to_the_next(text: Path, whole: Path, folder: Path) -> None:
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 23, "tra')
    charloom.train(text, folder, resume=True)
    assert losses(folder) == losses(whole)


def test_a_full_disk_at_the_history_is_reported_once_and_training_goes_on(
    text: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Path.open

    def open_(path: Path, mode: str = "r", *arguments: object, **named: object) -> object:
        if path.name == "metrics.jsonl" and mode == "ab":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return honest(path, mode, *arguments, **named)  # type: ignore[call-overload]

    events: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_)
        charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)
    (notice,) = [event.message for event in events if isinstance(event, Notice)]
    assert "training goes on" in notice
    assert "disk is full" in notice
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_rescue_on_a_full_disk_still_rescues(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 21 no checkpoint can be written, and the update after step 24 fails: step 20 is still there."""
    folder = tmp_path / "m"
    events: list[Event] = []
    with monkeypatch.context() as patch:
        honest = Checkpoints.go_back

        def go_back(*arguments: object) -> bool:
            patch.undo()
            full_disk(patch, folder, "training/.checkpoint-*.part")
            return honest(*arguments)  # type: ignore[arg-type]

        nan_after(24, patch)
        patch.setattr(Checkpoints, "go_back", go_back)
        result = charloom.train(text, folder, notify=events.append, **OPTIONS)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert "back to step 20 " in notices[0]
    assert all("disk is full" in notice for notice in notices[1:])
    assert len(notices) == 3  # the rescue's checkpoint and step 30's
    assert result.steps == 30
    assert no_temporary_files(folder)


@pytest.mark.slow
@pytest.mark.parametrize("room_in", ["state", "temp"])
def test_a_disk_that_is_full_at_the_very_end_keeps_the_result_elsewhere(
    text: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_in: str
) -> None:
    """Neither the last checkpoint nor the model finds room; resumed, the model is written without learning again."""
    folder, places = tmp_path / "m", {"state": tmp_path / "state", "temp": tmp_path / "temp"}
    places["temp"].mkdir()
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: places["state"] / name)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(places["temp"]))
    if room_in == "temp":
        places["state"].write_text("not a folder", "utf-8")
    with monkeypatch.context() as patch:
        full_disk(patch, folder, "training/.checkpoint-000000000030*.part")
        full_disk(patch, folder, ".model.onnx.*.part")
        with pytest.raises(StorageError) as caught:
            charloom.train(text, folder, **OPTIONS)
    assert "\n" not in str(caught.value)
    (kept,) = places[room_in].rglob("*.safetensors")
    assert f"kept in {kept}" in str(caught.value)
    assert kept.parent.stat().st_mode & 0o077 == 0, "nobody else may look at it"
    events: list[Event] = []
    result = charloom.train(text, folder, resume=True, notify=events.append)
    assert result.resumed_from_step == 30
    assert not [event for event in events if isinstance(event, StepTaken)]
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not list(tmp_path.rglob("last.safetensors"))


@pytest.mark.slow
def test_a_disk_with_room_for_one_checkpoint_keeps_the_last(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    honest = os.fsync

    def fsync(descriptor: int) -> None:
        """Room for the model there is none, and for a checkpoint only beside one other."""
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        full = len(checkpoints(folder)) > 1 and "checkpoint-000000000030" in name
        if full or "model.onnx" in name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files cannot be named here")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match=r"kept in .*checkpoint-000000000030\.safetensors"):
            charloom.train(text, folder, **OPTIONS)
    assert charloom.train(text, folder, resume=True).resumed_from_step == 30
