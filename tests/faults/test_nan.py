"""Losses that are no number: once, and for ever."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import charloom
from charloom.errors import TrainingError
from charloom.events import Evaluated, Event, Notice, StepTaken
from charloom.training.model import CharacterModel
from tests.faults.processes import history
from tests.training.test_run import OPTIONS, Crash, after, losses

EVERY_STEP = {"checkpoint_every": "0.000001s"}


@pytest.fixture(scope="module")
def text(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(small_text.read_text("utf-8")[:4_000], "utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    charloom.train(text, folder, **OPTIONS)
    return folder


def bad_updates(monkeypatch: pytest.MonkeyPatch, which: Iterable[int]) -> None:
    """Let the network's scores be no numbers in some updates, counted from 1, those that are made again too."""
    honest = CharacterModel.forward
    bad, made = frozenset(which), 0

    def forward(self: CharacterModel, ids: torch.Tensor, state: Any) -> Any:
        nonlocal made
        logits, carried = honest(self, ids, state)
        if self.training:
            made += 1
            if made in bad:
                return logits * math.nan, tuple(part * math.nan for part in carried)
        return logits, carried

    monkeypatch.setattr(CharacterModel, "forward", forward)


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


def rates(events: list[Event]) -> dict[int, float]:
    """The rate of each step; where a step was made twice, of the second time."""
    return {event.step: event.learning_rate for event in events if isinstance(event, StepTaken)}


def crash_after(updates: int) -> Callable[[], bool]:
    is_next = after(updates + 1)

    def crash() -> bool:
        if is_next():
            raise Crash
        return False

    return crash


@pytest.mark.slow
def test_one_bad_update_is_rescued(
    text: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: list[Event] = []
    charloom.train(text, tmp_path / "honest", notify=honest.append, **OPTIONS)
    events: list[Event] = []
    with monkeypatch.context() as patch:
        bad_updates(patch, [14])
        result = charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)

    (notice,) = notices(events)
    assert "after step 13: back to step 10" in notice
    assert "halved (rescue 1 of 3)" in notice
    taken = [event.step for event in events if isinstance(event, StepTaken)]
    assert taken == [*range(1, 14), *range(11, 31)]
    expected, got = rates(honest), rates(events)
    assert all(got[step] == expected[step] for step in range(1, 11))
    assert all(got[step] == pytest.approx(expected[step] / 2, abs=1e-12) for step in range(11, 31))

    records = history(tmp_path / "m")
    assert [record for record in records if "rescue" in record] == [{"step": 10, "rescue": 1, "failed_step": 13}]
    assert [record["step"] for record in records if "train_loss" in record] == list(range(1, 31))
    assert list(losses(tmp_path / "m")) == [1, 10, 20, 30]
    assert losses(tmp_path / "m")[10] == losses(undisturbed)[10]
    assert (result.steps, result.characters) == (30, 2 * 3_600)
    assert math.isfinite(result.validation_loss)
    assert result.validation_loss < losses(undisturbed)[10], "it has learned on"
    weights = charloom.load(tmp_path / "m").evaluate(text, protocol="windows-256")
    assert weights.loss == pytest.approx(min(losses(tmp_path / "m").values()), abs=1e-5)
    assert not (tmp_path / "m" / "training").exists()


def test_a_gradient_that_is_no_number_changes_no_weight(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = torch.nn.utils.clip_grad_norm_
    made = 0

    def clip(*arguments: Any) -> torch.Tensor:
        nonlocal made
        made += 1
        return honest(*arguments) * (math.inf if made == 6 else 1)

    events: list[Event] = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    result = charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)
    (notice,) = notices(events)
    assert "after step 5: back to step 1 " in notice
    assert math.isfinite(result.validation_loss)
    assert all(math.isfinite(record.get("gradient_norm", 0)) for record in history(tmp_path / "m"))


def test_an_evaluation_that_is_no_number_is_rescued(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = CharacterModel.forward
    events: list[Event] = []

    def forward(self: CharacterModel, ids: torch.Tensor, state: Any) -> Any:
        logits, carried = honest(self, ids, state)
        taken = [event.step for event in events if isinstance(event, StepTaken)]
        bad = not self.training and len(taken) == 20
        return (logits * math.nan if bad else logits), carried

    monkeypatch.setattr(CharacterModel, "forward", forward)
    result = charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)
    (notice,) = notices(events)
    assert "after step 20: back to step 10 " in notice
    assert result.steps == 30
    assert [event.step for event in events if isinstance(event, Evaluated)] == [1, 10, 20, 30]
    assert "NaN" not in (tmp_path / "m" / "metrics.jsonl").read_text("utf-8")


def test_where_the_newest_checkpoint_is_where_it_failed_it_goes_back_further(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The update after a checkpoint fails: made again from there, it would fail again."""
    events: list[Event] = []
    with monkeypatch.context() as patch:
        bad_updates(patch, [21])
        charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)
    (notice,) = notices(events)
    assert "after step 20: back to step 10 " in notice
    steps = [record["step"] for record in history(tmp_path / "m") if "train_loss" in record]
    assert steps == list(range(1, 31))
    assert list(losses(tmp_path / "m")) == [1, 10, 20, 30]


def test_the_best_weights_are_not_forgotten_by_going_back(
    text: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails after step 20, whose weights are the best so far, goes back to 10, and is stopped."""
    with monkeypatch.context() as patch:
        bad_updates(patch, [21])
        result = charloom.train(text, tmp_path / "m", should_stop=after(22), **OPTIONS)
    assert result.interrupted
    assert result.steps == 11
    assert result.best_step == 20
    assert result.validation_loss == pytest.approx(losses(undisturbed)[20], abs=1e-9)
    measured = charloom.load(tmp_path / "m").evaluate(text, protocol="windows-256")
    assert measured.loss == pytest.approx(losses(undisturbed)[20], abs=1e-5)


def test_for_ever_it_gives_up_after_three_rescues(
    text: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    with monkeypatch.context() as patch:
        bad_updates(patch, range(26, 1000))
        with pytest.raises(TrainingError) as caught:
            charloom.train(text, tmp_path / "m", notify=events.append, **OPTIONS)
    assert "\n" not in str(caught.value)
    assert "the best weights, of step 20, are saved" in str(caught.value)
    assert [f"(rescue {number} of 3)" in notice for number, notice in enumerate(notices(events), 1)] == [True] * 3
    assert [record["rescue"] for record in history(tmp_path / "m") if "rescue" in record][-1] == 3
    for line in (tmp_path / "m" / "metrics.jsonl").read_text("utf-8").splitlines():
        json.loads(line, parse_constant=pytest.fail)
    model = charloom.load(tmp_path / "m")
    assert model.evaluate(text, protocol="windows-256").loss == pytest.approx(losses(undisturbed)[20], abs=1e-5)


@pytest.mark.slow
def test_the_rescue_survives_a_crash(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**OPTIONS, **EVERY_STEP}
    expected: list[Event] = []
    with monkeypatch.context() as patch:
        bad_updates(patch, [14])
        charloom.train(text, tmp_path / "whole", notify=expected.append, **options)
    assert "after step 13: back to step 12 " in notices(expected)[0]

    with monkeypatch.context() as patch:
        bad_updates(patch, [14])
        with pytest.raises(Crash):
            charloom.train(text, tmp_path / "m", should_stop=crash_after(18), **options)
    events: list[Event] = []
    result = charloom.train(text, tmp_path / "m", resume=True, notify=events.append)
    assert result.resumed_from_step == 16  # 18 updates: one bad, one made twice
    assert {step: rate for step, rate in rates(expected).items() if step > 16} == rates(events)
    whole = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == whole
    assert history_without_seconds(tmp_path / "m") == history_without_seconds(tmp_path / "whole")


@pytest.mark.parametrize("updates", [14, 15])
def test_the_rescues_are_counted_on_after_a_crash(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    """Crashed in the first or second update after the rescue; then it fails three times more."""
    folder = tmp_path / "m"
    with monkeypatch.context() as patch:
        bad_updates(patch, [14])
        with pytest.raises(Crash):
            charloom.train(text, folder, should_stop=crash_after(updates), **OPTIONS)
    events: list[Event] = []
    with monkeypatch.context() as patch:
        bad_updates(patch, range(3, 1000))
        with pytest.raises(TrainingError, match="3 rescues"):
            charloom.train(text, folder, resume=True, notify=events.append)
    messages = notices(events)
    assert ["rescue 2 of 3" in messages[0], "rescue 3 of 3" in messages[1], len(messages)] == [True, True, 2]
    assert max(rates(events).values()) <= OPTIONS["learning_rate"] / 2


def history_without_seconds(folder: Path) -> list[dict[str, Any]]:
    timed = ("seconds", "characters_per_second")
    return [{key: value for key, value in record.items() if key not in timed} for record in history(folder)]
