"""Windows that are learned in parts: what a learner makes of them, and what a checkpoint keeps."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import charloom
from charloom.bundle import ModelShape
from charloom.errors import UsageError
from charloom.events import Event, StepTaken, TrainingStarted
from charloom.settings import ModelSettings, RunSettings, TrainingSettings
from charloom.training import schedule
from charloom.training.batches import RingBatches
from charloom.training.learner import Learner
from charloom.training.ranks import Ranks
from charloom.training.state import TrainingState, fresh_state
from tests.training.test_run import OPTIONS, after

SHAPE = ModelShape(cell="lstm", num_layers=1, hidden_size=6, embedding_size=4, dropout=0, vocab_size=7)
ROWS, WINDOW = 3, 96


def learner_of(bptt: int, row_length: int = 4 * WINDOW, **training: Any) -> tuple[Learner, TrainingState, RingBatches]:
    given = {"batch_size": ROWS, "bptt": bptt, "seed": 5, "state_reset": 0.0, **training}
    run = RunSettings(model=ModelSettings(dropout=0), training=TrainingSettings(**given))
    state = fresh_state(SHAPE, run, torch.device("cpu"), Ranks())
    ids = np.random.default_rng(0).integers(0, SHAPE.vocab_size, ROWS * row_length).astype(np.uint16)
    batches = RingBatches(ids, ROWS, bptt, seed=0)
    state.model.train()
    return Learner(state, batches, run.training, 0.0, Ranks()), state, batches


def learn(learner: Learner, parts: list[int]) -> list[int]:
    return [learner.update(0.01, lambda: False, each).characters for each in parts]


def weights(state: TrainingState) -> list[torch.Tensor]:
    return [each.detach().clone() for each in state.model.parameters()]


def test_thirds_of_a_window_are_windows_of_a_third() -> None:
    cut, cut_state, _ = learner_of(WINDOW)
    short, short_state, _ = learner_of(WINDOW // 3)
    assert learn(cut, [3] * 15) == learn(short, [1] * 15) == [ROWS * WINDOW // 3] * 15
    assert all(map(torch.equal, weights(cut_state), weights(short_state)))
    assert cut_state.progress.step == short_state.progress.step == 15
    assert cut_state.progress.windows == 5
    assert cut_state.progress.epochs(4) == short_state.progress.epochs(12) == 1.25


@pytest.mark.parametrize("row_length", [370, 377, 384])
def test_an_epoch_is_whole_whatever_its_windows_are_cut_in(row_length: int) -> None:
    learner, state, batches = learner_of(WINDOW, row_length)
    learned = learn(learner, [3, 2, 2, 1, 2, 1, 3, 3, 3, 3])  # a number counts where a window begins
    assert sum(learned[:9]) == batches.row_length * ROWS
    assert state.progress.characters == 0, "the trainer counts them"
    assert state.progress.windows == 4
    assert state.progress.part == 1


def test_a_row_forgets_its_past_only_where_a_window_begins() -> None:
    learner, state, _ = learner_of(WINDOW, state_reset=1.0)
    learn(learner, [3])
    assert learner._forgetting_rows().tolist() == [False] * ROWS
    learn(learner, [3, 3])
    assert learner._forgetting_rows().tolist() == [True] * ROWS
    assert state.progress.windows == 1


def test_short_windows_stay_whole() -> None:
    learner, state, _ = learner_of(40)
    learn(learner, [3, 3])
    assert (state.progress.windows, state.progress.parts) == (1, 2)
    learner, state, _ = learner_of(31)
    learn(learner, [3])
    assert (state.progress.windows, state.progress.parts) == (1, 1)


@pytest.fixture
def by_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a run goes on by a second with each update, so that its windows grow the same way each time."""
    monkeypatch.setattr(schedule.Plan, "share_done", lambda plan, progress: min(1.0, (progress.step + 1) / 40))


GROWING = {key: value for key, value in OPTIONS.items() if key != "steps"} | {
    "bptt": 48, "budget": "10h", "grow_windows": True, "evaluate_every": 10,
}  # fmt: skip


@pytest.mark.usefixtures("by_updates")
def test_a_run_that_is_resumed_inside_a_window_goes_on_there(small_text: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    whole = charloom.train(small_text, tmp_path / "whole", notify=events.append, **GROWING)
    (started,) = (event for event in events if isinstance(event, TrainingStarted))
    steps = [event for event in events if isinstance(event, StepTaken)]
    advances = [after.epoch - before.epoch for before, after in pairwise(steps)]
    window = advances[-1]
    assert [round(window / each) for each in advances[:8]] == [3] * 8
    assert [round(window / each) for each in advances[14:20]] == [2] * 6
    assert window * started.steps_per_epoch == pytest.approx(1.6, abs=0.2), "updates in a pass, on the average"
    assert whole.epochs == pytest.approx(steps[-1].epoch)
    folder = tmp_path / "parts"
    for place in (5, 2, 12):  # inside a third, a third later, inside a half
        charloom.train(small_text, folder, should_stop=after(place), resume=folder.exists(), **GROWING)
    charloom.train(small_text, folder, resume=True, **GROWING)
    ends = [load_file(each / "model.safetensors") for each in (tmp_path / "whole", folder)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_checkpoint_of_an_older_run_goes_on_at_its_window(small_text: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**OPTIONS, "steps": 12}
    charloom.train(small_text, tmp_path / "whole", **options)
    folder = tmp_path / "older"
    charloom.train(small_text, folder, should_stop=after(5), **options)
    for path in (folder / "training").glob("checkpoint-*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        progress = json.loads(header["progress"])
        header["progress"] = json.dumps(
            {name: value for name, value in progress.items() if name not in ("windows", "part", "parts")}
        )
        save_file(load_file(path), path, header)
    charloom.train(small_text, folder, resume=True, **options)
    ends = [load_file(each / "model.safetensors") for each in (tmp_path / "whole", folder)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_windows_grow_by_the_clock_only(small_text: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a budget instead of steps"):
        charloom.train(small_text, tmp_path / "m", steps=5, grow_windows=True)
