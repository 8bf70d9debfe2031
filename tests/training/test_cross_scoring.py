"""Lines scored by models of the other parts: nothing of a part is known to the model that scores it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.errors import CharloomError, CorpusError, UsageError
from charloom.training import cross_scoring
from charloom.training.result import TrainingResult

TINY: dict[str, Any] = {"steps": 3, "hidden_size": 8, "batch_size": 4, "bptt": 20, "threads": 1}
ORDINARY = [f"{place:04} worker {place % 4} reads item {place * 37 % 100}" for place in range(300)]
BURST = "disk is full"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An ordinary log, except that one line is there thirty times, one soon after another."""
    lines = list(ORDINARY)
    for place in range(140, 170):
        lines[place] = BURST
    file = tmp_path / "app.log"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_each_line_has_its_score_in_order_and_nothing_is_left(tmp_path: Path, temporary: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_bytes("\r\n".join(ORDINARY[:70]).encode() + b"\r\n")
    second.write_text("\n".join(ORDINARY[70:145]))
    scores = charloom.cross_score([first, second], parts=3, **TINY)
    assert [score.text for score in scores] == ORDINARY[:145]
    assert [(score.file, score.line) for score in scores] == [
        *((str(first), number) for number in range(1, 71)),
        *((str(second), number) for number in range(1, 76)),
    ]
    masked = [len(" ".join("0" if word.isdigit() else word for word in line.split())) + 1 for line in ORDINARY[:145]]
    assert [score.characters for score in scores] == masked, "numbers are masked, and the line end is charged"
    assert list(temporary.glob("charloom-*")) == []


def test_no_model_has_learned_what_it_scores(tmp_path: Path) -> None:
    """Each part has a letter of its own, which the model of the others does not know."""
    lines = [f"{'αβγδ'[place // 25]} {line}" for place, line in enumerate(ORDINARY[:100])]
    file = tmp_path / "parts.log"
    file.write_text("\n".join(lines), "utf-8")
    scores = charloom.cross_score(file, parts=4, **TINY)
    assert [score.unknown for score in scores] == [1] * 100


def test_what_is_odd_for_a_while_is_found(log: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, "steps": 150, "hidden_size": 32, "learning_rate": 0.01}
    found = charloom.cross_score(log, **options)
    ranked = sorted(found, key=lambda score: score.bits_per_char or 0, reverse=True)
    assert {score.text for score in ranked[:30]} == {BURST}
    charloom.train(log, tmp_path / "model", clean=["mask-numbers"], items=False, **options)
    with log.open() as lines:
        learned = {score.text: score for score in charloom.load(tmp_path / "model").score_lines(lines)}
    burst = next(score for score in found if score.text == BURST)
    assert burst.nats > 3 * learned[f"{BURST}\n"].nats, "a model of the whole log has learned it"


def test_a_budget_is_for_all_models_together(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[float] = []

    def train(*arguments: Any, **others: Any) -> TrainingResult:
        budgets.append(arguments[3]["budget"])
        raise CorpusError("enough")

    monkeypatch.setattr(cross_scoring, "train_specs", train)
    for given, each in (({"budget": "50s"}, 10.0), ({}, 4.0), ({"budget": "2s"}, 1.0)):
        with pytest.raises(CorpusError, match="enough"):
            charloom.cross_score(log, **given)  # type: ignore[arg-type]
        assert budgets.pop() == each
    with pytest.raises(KeyError):
        charloom.cross_score(log, steps=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 1}, "parts = 1: choose 2 to 100"),
        ({"parts": 101}, "parts = 101: choose 2 to 100"),
        ({"parts": 20}, "300 lines are too few for 20 parts: at least 400"),
        ({"mask": "("}, "mask"),
        ({"track": ["mlflow"]}, "nothing is tracked: leave track out"),
        ({"hidden_size": 0}, "hidden-size = 0: give 1 or more"),
        ({"clean": ["shout"]}, "shout"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(
    log: Path, temporary: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CharloomError, match=message):
        charloom.cross_score(log, **options)
    assert list(temporary.glob("charloom-*")) == []


def test_torchrun_is_refused(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="leave torchrun out"):
        charloom.cross_score(log)
