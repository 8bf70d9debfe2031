from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

import charloom
from charloom.bundle import ModelShape, open_model_directory
from charloom.errors import CorpusError, StorageError, TrainingError, UsageError
from charloom.events import Evaluated, Event, ModelSaved, Notice, StepTaken, TrainingStarted
from charloom.settings import TrainingSettings
from charloom.training.checkpoint import Checkpoints
from charloom.training.model import CharacterModel
from charloom.training.optimizer import make_optimizer

OPTIONS: dict[str, Any] = {
    "hidden_size": 24,
    "embedding_size": 8,
    "dropout": 0.2,
    "batch_size": 8,
    "bptt": 32,
    "steps": 30,
    "evaluate_every": 10,
    "learning_rate": 0.01,
    "seed": 3,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def text(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,000 characters: an epoch is 15 windows, so a run of 30 steps has an epoch's beginning in it."""
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(small_text.read_text("utf-8")[:4_000], "utf-8")
    return path


@pytest.fixture(scope="module")
def uninterrupted(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    charloom.train(text, folder, **OPTIONS)
    return folder


def after(steps: int) -> Callable[[], bool]:
    """A `should_stop` that says so in an update, not in an evaluation, after a number of updates."""
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        callers = [sys._getframe(1), sys._getframe(2)]
        asked += "update" in [frame.f_code.co_name for frame in callers]
        return asked >= steps

    return should_stop


def losses(folder: Path) -> dict[int, float]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {record["step"]: record["validation_loss"] for record in records if "validation_loss" in record}


def no_temporary_files(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_over_fits_one_batch(cell: Any) -> None:
    """Random ids can only be memorized: a network that learns brings the loss to near zero."""
    torch.manual_seed(0)
    shape = ModelShape(cell=cell, num_layers=1, hidden_size=48, embedding_size=16, dropout=0, vocab_size=12)
    model = CharacterModel(shape)
    settings = TrainingSettings(learning_rate=0.01)
    optimizer = make_optimizer(model, settings)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 12, (21, 4)))
    loss = torch.tensor(math.inf)
    first = math.nan
    for _ in range(250):
        logits, _ = model(ids[:-1], model.initial_state(4))
        loss = F.cross_entropy(logits.flatten(0, 1), ids[1:].flatten())
        first = float(loss.detach()) if math.isnan(first) else first
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert first == pytest.approx(math.log(12), abs=0.7)
    assert float(loss.detach()) < 0.05


def test_end_to_end(text: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    result = charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)

    started = [event for event in events if isinstance(event, TrainingStarted)]
    steps = [event for event in events if isinstance(event, StepTaken)]
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    saved = [event for event in events if isinstance(event, ModelSaved)]
    assert len(started) == 1
    assert isinstance(events[0], TrainingStarted)
    assert (started[0].characters, started[0].validation_characters) == (3_600, 400)
    assert (started[0].steps, started[0].steps_per_epoch, started[0].resumed_from_step) == (30, 15, 0)
    assert [event.step for event in steps] == list(range(1, 31))
    assert steps[-1].epoch == 2
    assert steps[-1].loss < steps[0].loss - 0.5
    assert [event.step for event in evaluations] == [1, 10, 20, 30]
    assert saved == [ModelSaved(str(tmp_path / "m"), result.best_step)]
    assert isinstance(events[-1], ModelSaved)

    best = min(evaluations, key=lambda event: event.validation_loss)
    assert result.best_step == best.step
    assert best.best
    assert result.losses["windows-256"] == pytest.approx(best.validation_loss, abs=1e-6)
    assert result.protocol == "stateful"
    assert result.validation_loss == result.losses["stateful"]
    assert result.bits_per_char == pytest.approx(result.validation_loss / math.log(2))
    assert (result.steps, result.epochs, result.characters) == (30, 2.0, 2 * 3_600)
    assert not result.interrupted
    assert result.validation_loss < math.log(60)

    model = charloom.load(tmp_path / "m")
    assert model.config.model.parameters == result.parameters
    assert model.evaluate(text).loss == pytest.approx(result.validation_loss, abs=1e-5)
    assert model.evaluate(text, protocol="windows-256").loss == pytest.approx(best.validation_loss, abs=1e-5)
    assert not (tmp_path / "m" / "training").exists()
    assert no_temporary_files(tmp_path)
    assert str(tmp_path) not in (tmp_path / "m" / "config.json").read_text("utf-8"), "a private path"
    assert losses(tmp_path / "m") == {event.step: event.validation_loss for event in evaluations}


@pytest.mark.slow
def test_same_seed_same_model_other_seed_other_model(text: Path, uninterrupted: Path, tmp_path: Path) -> None:
    charloom.train(text, tmp_path / "same", **OPTIONS)
    charloom.train(text, tmp_path / "other", **{**OPTIONS, "seed": 4})
    expected = (uninterrupted / "model.safetensors").read_bytes()
    assert (tmp_path / "same" / "model.safetensors").read_bytes() == expected
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != expected


@pytest.mark.slow
def test_best_weights_are_kept_not_the_last(text: Path, tmp_path: Path) -> None:
    """A learning rate that ruins the model late: the weights saved must be the early ones."""
    events: list[Event] = []
    options = {**OPTIONS, "learning_rate": 0.5, "optimizer": "adamw", "schedule": "constant", "steps": 20} | {
        "evaluate_every": 1
    }
    result = charloom.train(text, tmp_path / "m", notify=events.append, **options)
    seen = {event.step: event.validation_loss for event in events if isinstance(event, Evaluated)}
    best = min(seen, key=lambda step: seen[step])
    assert best < 20, "the test needs a run whose last weights are not its best"
    assert seen[20] > seen[best] + 0.01
    assert result.best_step == best
    assert charloom.load(tmp_path / "m").evaluate(text, protocol="windows-256").loss == pytest.approx(
        seen[best], abs=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("steps", [7, 10, 15, 23])
def test_resumed_is_uninterrupted_bit_for_bit(text: Path, uninterrupted: Path, tmp_path: Path, steps: int) -> None:
    """Interrupted between evaluations, at one, where an epoch ends, and late."""
    folder = tmp_path / "m"
    stopped = charloom.train(text, folder, should_stop=after(steps), **OPTIONS)
    assert stopped.interrupted
    assert stopped.steps == steps
    assert (folder / "config.json").exists(), "an interrupted run leaves a usable model"
    charloom.load(folder).generate("a", length=3)

    events: list[Event] = []
    result = charloom.train(text, folder, resume=True, notify=events.append, **OPTIONS)
    assert result.resumed_from_step == steps
    assert not result.interrupted
    assert [event.step for event in events if isinstance(event, StepTaken)] == list(range(steps + 1, 31))
    for name in ("model.safetensors", "model.onnx", "vocabulary.json"):
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    whole = losses(uninterrupted)
    assert {step: loss for step, loss in losses(folder).items() if step in whole} == whole
    assert not (folder / "training").exists()


@pytest.mark.slow
def test_stopped_before_any_evaluation_it_is_evaluated_and_saved(text: Path, tmp_path: Path) -> None:
    options = {**OPTIONS, "evaluate_every": 30}  # the first look is after step 3
    charloom.train(text, tmp_path / "whole", **options)
    stopped = charloom.train(text, tmp_path / "m", should_stop=after(1), **options)
    assert (stopped.steps, stopped.best_step) == (1, 1)
    measured = charloom.load(tmp_path / "m").evaluate(text, protocol="windows-256")
    assert measured.loss == pytest.approx(stopped.validation_loss, abs=1e-5)
    charloom.train(text, tmp_path / "m", resume=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_a_run_of_before_muon_is_resumed_with_adamw(text: Path, tmp_path: Path) -> None:
    """Its record names no optimizer."""
    options = {**OPTIONS, "optimizer": "adamw"}
    charloom.train(text, tmp_path / "whole", **options)
    charloom.train(text, tmp_path / "m", should_stop=after(14), **options)
    path = tmp_path / "m" / "training" / "run.json"
    run = json.loads(path.read_bytes())
    del run["settings"]["training"]["optimizer"]
    path.write_text(json.dumps(run), "utf-8")
    assert charloom.train(text, tmp_path / "m", resume=True).resumed_from_step == 14
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_resumed_twice_without_options(text: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, should_stop=after(4), **OPTIONS)
    charloom.train(text, folder, should_stop=after(14), resume=True)
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == 18
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


class Crash(BaseException):
    """What a power cut is to the program: nothing can be tidied up in answer to it."""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [5, 17])
def test_resumed_after_a_crash(text: Path, uninterrupted: Path, tmp_path: Path, steps: int) -> None:
    folder = tmp_path / "m"
    options = {**OPTIONS, "checkpoint_every": "0.000001s"}

    is_next = after(steps + 1)

    def crash() -> bool:
        if is_next():
            raise Crash
        return False

    with pytest.raises(Crash):
        charloom.train(text, folder, should_stop=crash, **options)
    assert not (folder / "config.json").exists()
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == steps
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_on_the_one_before(text: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, should_stop=after(23), **OPTIONS)
    newest = max((folder / "training").glob("checkpoint-*"))
    assert newest.name.endswith("23.safetensors")
    newest.write_bytes(newest.read_bytes()[:-100])
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == 20
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_what_a_killed_process_left_does_not_make_a_finished_run_unfinished(
    text: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """A process killed while it wrote a checkpoint leaves a temporary file. It must not survive the run."""
    folder = tmp_path / "m"
    charloom.train(text, folder, should_stop=after(10), **OPTIONS)
    (folder / "training" / ".checkpoint-000000000011.safetensors.4999999.part").write_bytes(b"half")
    charloom.train(text, folder, resume=True)
    assert not (folder / "training").exists()
    events: list[Event] = []
    charloom.train(text, folder, resume=True, notify=events.append)
    assert not [event for event in events if isinstance(event, StepTaken)]
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_resuming_a_short_text_keeps_its_batch(text: Path, tmp_path: Path) -> None:
    """Batch 64 was asked for, so the window shrank; resumed without options it must shrink the same way."""
    options = {**OPTIONS, "batch_size": 64}
    del options["bptt"]  # 100 by default: 6,400 characters, and the text has 3,600
    charloom.train(text, tmp_path / "whole", **options)
    charloom.train(text, tmp_path / "m", should_stop=after(12), **options)
    events: list[Event] = []
    charloom.train(text, tmp_path / "m", resume=True, notify=events.append)
    started = next(event for event in events if isinstance(event, TrainingStarted))
    assert (started.batch_size, started.bptt) == (64, 56)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_resuming_a_finished_run_returns_at_once(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    first = charloom.train(text, folder, **OPTIONS)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    events: list[Event] = []
    again = charloom.train(text, folder, resume=True, notify=events.append, **OPTIONS)
    assert again == first
    assert [type(event) for event in events] == [Notice]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_resuming_nothing_starts_from_the_beginning(text: Path, uninterrupted: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    charloom.train(text, tmp_path / "m", resume=True, notify=events.append, **OPTIONS)
    assert any(isinstance(event, Notice) and "no run to resume" in event.message for event in events)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


@pytest.fixture
def interrupted(text: Path, tmp_path: Path) -> Path:
    charloom.train(text, tmp_path / "m", should_stop=after(10), **OPTIONS)
    return tmp_path / "m"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"), [("hidden_size", 25), ("seed", 4), ("steps", 31), ("clean", ["lowercase"])]
)
def test_resume_with_another_option_is_refused(text: Path, interrupted: Path, option: str, value: Any) -> None:
    with pytest.raises(UsageError, match="--" + option.replace("_", "-")):
        charloom.train(text, interrupted, resume=True, **{option: value})


def test_resume_with_another_recipe_is_refused(text: Path, interrupted: Path) -> None:
    with pytest.raises(UsageError, match="recipe"):
        charloom.train(text, interrupted, resume=True, recipe="tiny")


@pytest.mark.slow
def test_resume_with_other_threads_is_allowed(text: Path, interrupted: Path) -> None:
    result = charloom.train(text, interrupted, resume=True, threads=1, checkpoint_every="5m")
    assert result.steps == 30


def test_resume_with_another_text_is_refused(text: Path, interrupted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text.read_text("utf-8") + "!", "utf-8")
    with pytest.raises(TrainingError, match="not the text"):
        charloom.train(other, interrupted, resume=True, **OPTIONS)
    charloom.train(text, interrupted, resume=True, **OPTIONS)


def test_a_damaged_record_of_the_run_is_refused(text: Path, interrupted: Path) -> None:
    (interrupted / "training" / "run.json").write_bytes(b"{")
    with pytest.raises(TrainingError, match="damaged"):
        charloom.train(text, interrupted, resume=True)


def test_resume_and_overwrite_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        charloom.train(text, tmp_path / "m", resume=True, overwrite=True)


@pytest.mark.slow
def test_a_taken_folder_is_refused_and_can_be_overwritten(text: Path, interrupted: Path) -> None:
    with pytest.raises(TrainingError, match=r"unfinished training run.*--resume"):
        charloom.train(text, interrupted, **OPTIONS)
    charloom.train(text, interrupted, overwrite=True, **{**OPTIONS, "steps": 2})
    with pytest.raises(TrainingError, match="already holds a model"):
        charloom.train(text, interrupted, **OPTIONS)
    result = charloom.train(text, interrupted, overwrite=True, **{**OPTIONS, "steps": 3})
    assert result.steps == 3
    assert open_model_directory(interrupted).config.training["result"]["steps"] == 3


def test_a_mistake_does_not_cost_the_old_model(text: Path, interrupted: Path) -> None:
    before = (interrupted / "config.json").read_bytes()
    for wrong in ({"hidden_size": 0}, {"device": "cuda:99"}, {"batch_size": 999_999}, {"nonsense": 1}):
        with pytest.raises((UsageError, CorpusError)):
            charloom.train(text, interrupted, overwrite=True, **{**OPTIONS, **wrong})
    with pytest.raises(CorpusError):
        charloom.train(text.with_name("absent.txt"), interrupted, overwrite=True, **OPTIONS)
    assert (interrupted / "config.json").read_bytes() == before


def test_files_of_others_in_the_folder_stay(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    charloom.train(text, folder, **{**OPTIONS, "steps": 2})
    (folder / "notes.txt").write_text("mine", "utf-8")
    charloom.train(text, folder, overwrite=True, **{**OPTIONS, "steps": 2})
    assert (folder / "notes.txt").read_text("utf-8") == "mine"


def nan_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network's scores be no numbers in every update after some."""
    honest = CharacterModel.forward
    updates = 0

    def forward(self: CharacterModel, ids: torch.Tensor, state: Any) -> Any:
        nonlocal updates
        logits, carried = honest(self, ids, state)
        if self.training:
            updates += 1
            if updates > steps:
                logits = logits * math.nan
        return logits, carried

    monkeypatch.setattr(CharacterModel, "forward", forward)


def test_a_loss_that_is_no_number_keeps_the_best(
    text: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    expected = losses(uninterrupted)[20]
    with monkeypatch.context() as patch:
        nan_after(25, patch)
        with pytest.raises(TrainingError, match=r"3 rescues.*step 20, are saved.*--learning-rate"):
            charloom.train(text, folder, **OPTIONS)
    model = charloom.load(folder)
    assert model.evaluate(text, protocol="windows-256").loss == pytest.approx(expected, abs=1e-5)
    assert model.config.training["result"]["best_step"] == 20
    assert not (folder / "training").exists(), "a run that diverged cannot be gone on with"
    assert no_temporary_files(folder)


def test_a_loss_that_is_no_number_before_any_evaluation_leaves_no_model(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    with monkeypatch.context() as patch:
        nan_after(0, patch)
        with pytest.raises(TrainingError, match=r"step 0.*nothing was saved"):
            charloom.train(text, folder, **OPTIONS)
    assert list(folder.iterdir()) == []
    charloom.train(text, folder, **{**OPTIONS, "steps": 1})


def full_disk(monkeypatch: pytest.MonkeyPatch, folder: Path, pattern: str) -> list[str]:
    """Let flushing a temporary file of this name fail as on a full disk; returns the names it met."""
    honest = os.fsync
    met: list[str] = []

    def fsync(descriptor: int) -> None:
        node = os.fstat(descriptor).st_ino
        for path in folder.glob(pattern):
            if path.stat().st_ino == node:
                met.append(path.name)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return met


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vocabulary.json", "model.onnx", "config.json"])
def test_a_full_disk_while_saving_changes_nothing(
    text: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "m"
    with monkeypatch.context() as patch:
        met = full_disk(patch, folder, f".{name}.*.part")
        with pytest.raises(StorageError, match="disk is full") as caught:
            charloom.train(text, folder, **OPTIONS)
    assert len(met) == 1
    assert str(folder) in str(caught.value)
    assert {path.name for path in folder.iterdir()} == {"metrics.jsonl", "training"}
    assert no_temporary_files(folder)
    # Nothing learned is lost: with room again, the run is finished from its last checkpoint.
    result = charloom.train(text, folder, resume=True)
    assert result.resumed_from_step == 30
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


def test_a_full_disk_at_a_checkpoint_is_reported_and_training_goes_on(
    text: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    events: list[Event] = []
    with monkeypatch.context() as patch:
        met = full_disk(patch, folder, "training/.checkpoint-*.part")
        charloom.train(text, folder, notify=events.append, **OPTIONS)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(met) == len(notices) == 5
    assert all("training goes on" in notice and "disk is full" in notice for notice in notices)
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()
    assert no_temporary_files(folder)


def test_too_little_room_is_refused_before_the_first_step(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match="free some space"):
        charloom.train(text, tmp_path / "m", **OPTIONS)
    assert not list((tmp_path / "m").iterdir())


def test_an_output_that_is_a_file_is_one_clear_line(text: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("", "utf-8")
    with pytest.raises(UsageError, match="m is a file: name a folder for the model"):
        charloom.train(text, tmp_path / "m", **OPTIONS)


def test_only_two_checkpoints_are_kept(text: Path, tmp_path: Path) -> None:
    charloom.train(text, tmp_path / "m", should_stop=after(25), **{**OPTIONS, "evaluate_every": 5})
    kept = sorted(path.name for path in (tmp_path / "m" / "training").iterdir())
    assert kept == ["checkpoint-000000000020.safetensors", "checkpoint-000000000025.safetensors", "run.json"]
    assert Checkpoints(tmp_path / "m" / "training").read_run() is not None


def test_validation_on_a_file_of_its_own(text: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "held-out.txt"
    held_out.write_text("The quick brown fox.\n" * 20 + "\N{SNOWMAN}", "utf-8")
    events: list[Event] = []
    options = {**OPTIONS, "steps": 5, "validation": str(held_out)}
    result = charloom.train(text, tmp_path / "m", notify=events.append, **options)
    started = next(event for event in events if isinstance(event, TrainingStarted))
    assert (started.characters, started.validation_characters) == (4_000, 421)
    assert any(isinstance(event, Notice) and "has 1 character that" in event.message for event in events)
    model = charloom.load(tmp_path / "m")
    assert model.evaluate(held_out, split="all").loss == pytest.approx(result.validation_loss, abs=1e-5)
    with pytest.raises(UsageError, match=r"held-out\.txt"):
        model.evaluate(text)


@pytest.mark.slow
def test_bytes_vocabulary_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "greek.txt"
    path.write_bytes(("καλημέρα κόσμε 🌍\n" * 120).encode() + b"\xff\xfe")
    options = {**OPTIONS, "vocabulary": "bytes", "learning_rate": 0.02, "validation_fraction": 0.2}
    options |= {"steps": 120, "hidden_size": 48, "dropout": 0}
    result = charloom.train(path, tmp_path / "m", **options)
    model = charloom.load(tmp_path / "m")
    evaluation = model.evaluate(path)
    assert evaluation.loss == pytest.approx(result.validation_loss, abs=1e-5)
    assert evaluation.bits_per_byte is not None
    assert evaluation.bits_per_byte == pytest.approx(evaluation.loss / math.log(2))
    assert evaluation.bits_per_char > evaluation.bits_per_byte * 1.5, "a Greek letter is two bytes"
    stream = model.stream("καλη", length=200, temperature=0, seed=1)
    pieces = list(stream)
    assert "".join(pieces) == model.generate("καλη", length=200, temperature=0, seed=1).text
    assert "μέρα κόσμ" in "".join(pieces)
    assert "\ufffd" not in "".join(pieces)


def test_articles_split_is_measured_by_its_protocol(text: Path, tmp_path: Path) -> None:
    long_text = tmp_path / "long.txt"
    long_text.write_text(text.read_text("utf-8") * 11, "utf-8")  # row-tail needs 64 × (10 × 60 + 1) characters
    options = {**OPTIONS, "steps": 2, "evaluate_every": 2, "validation_split": "row-tail"}
    events: list[Event] = []
    result = charloom.train(long_text, tmp_path / "m", notify=events.append, **options)
    evaluated = [event for event in events if isinstance(event, Evaluated)][-1]
    assert evaluated.protocol == "cold-60"
    assert list(result.losses) == ["stateful", "windows-256", "cold-60"]
    model = charloom.load(tmp_path / "m")
    assert model.evaluate(long_text, protocol="cold-60").loss == pytest.approx(evaluated.validation_loss, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "is empty"), (b"aaaaaaaaaaaaaaaaaaaaaaaa", "one character"), (b"ab", "too few")],
)
def test_texts_with_nothing_to_learn(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=match):
        charloom.train(path, tmp_path / "m", **OPTIONS)
    assert not (tmp_path / "m").exists()


def test_result_is_in_the_model_directory(uninterrupted: Path, text: Path) -> None:
    result = charloom.train(text, uninterrupted, resume=True)
    recorded = open_model_directory(uninterrupted).config.training["result"]
    assert recorded == {name: value for name, value in dataclasses.asdict(result).items() if name != "model"}


def test_a_file_name_that_is_not_unicode(text: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    try:
        path.write_bytes(text.read_bytes())
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    charloom.train(path, tmp_path / "m", **{**OPTIONS, "steps": 1})
    source = open_model_directory(tmp_path / "m").config.corpus.sources[0]
    assert source.startswith("caf")
    source.encode()


def test_the_look_taken_when_stopped_early_leaves_no_trace_in_the_checkpoint(text: Path, tmp_path: Path) -> None:
    """An uninterrupted run would not have looked there, so its weights must not compete for the best."""
    folder = tmp_path / "m"
    result = charloom.train(text, folder, should_stop=after(1), **{**OPTIONS, "steps": 40, "evaluate_every": 40})
    assert result.interrupted
    assert result.best_step == 1
    _, checkpoint = sorted((folder / "training").glob("checkpoint-*.safetensors"))
    with safe_open(checkpoint, framework="pt") as file:
        names = list(file.keys())
        progress = json.loads(file.metadata()["progress"])
    assert not [name for name in names if name.startswith("best.")]
    assert progress["best_step"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [StepTaken, Evaluated, ModelSaved])
def test_a_listener_that_fails_ends_nothing(
    text: Path, uninterrupted: Path, tmp_path: Path, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def notify(event: Event) -> None:
        heard.append(event)
        if isinstance(event, kind):
            raise ValueError("somebody's mistake")

    charloom.train(text, tmp_path / "m", notify=notify, **OPTIONS)
    assert (tmp_path / "m/model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()
    assert [isinstance(event, kind) for event in heard] == [False] * (len(heard) - 1) + [True]
    (said,) = [record for record in caplog.records if record.name == "charloom"]
    assert "the work goes on" in said.getMessage()
    assert "somebody's mistake" in str(said.exc_info)


def test_a_listener_that_is_interrupted_ends_the_run(text: Path, tmp_path: Path) -> None:
    def notify(event: Event) -> None:
        if isinstance(event, StepTaken):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        charloom.train(text, tmp_path / "m", notify=notify, **OPTIONS)
