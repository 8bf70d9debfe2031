"""Lines scored by models of the other parts: nothing of a part is known to the model that scores it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from safetensors.torch import save

import charloom
from charloom.errors import CharloomError, CorpusError, StorageError, UsageError
from charloom.events import Evaluated, Event, Notice, StepTaken, TrainingStarted
from charloom.training import budget, cross_scoring
from charloom.training.checkpoint import Checkpoints
from charloom.training.ranks import Ranks
from charloom.training.result import TrainingResult
from charloom.training.run import train_specs
from charloom.training.state import TrainingState
from tests.training.test_run import full_disk

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
    given: list[Any] = []

    def train(specs: list[str], folder: Path, recipe: None, options: Any, **others: Any) -> TrainingResult:
        given.append(options)
        short: Any = {**options, "budget": None, "steps": 2}
        return train_specs(specs, folder, recipe, short, **others)

    monkeypatch.setattr(cross_scoring, "train_specs", train)
    charloom.cross_score(log, budget="50h", parts=3, hidden_size=8, threads=1)
    hours = [float(options["budget"]) / 3600 for options in given]
    assert hours == pytest.approx([50 / 3, 50 / 2, 50], rel=0.01), "what one leaves is for the others"


def test_what_the_first_budget_chooses_is_for_all_models(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[Any] = []

    def loaded(folder: Path, **options: Any) -> Any:
        model = charloom.load(folder, **options)
        networks.append((model.config.model.hidden_size, model.config.training["settings"]["precision"]))
        return model

    monkeypatch.setattr(cross_scoring, "load", loaded)
    monkeypatch.setattr(budget, "SIZES", (16, 24))
    notices: list[str] = []

    def notify(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.message)

    charloom.cross_score(log, budget="4s", parts=2, threads=1, notify=notify)
    assert networks[0] == networks[1]
    assert networks[0][0] in (16, 24)
    assert sum("this machine can read the text" in notice for notice in notices) == 1


def test_what_a_recipe_says_of_the_text_goes_over_the_defaults(log: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("corpus: {clean: [lowercase]}\n")
    scores = charloom.cross_score(log, parts=2, recipe=str(recipe), **TINY)
    assert [score.characters for score in scores] == [len(score.text or "") + 1 for score in scores], "nothing masked"


def test_several_trainings_are_reported_as_one(log: Path) -> None:
    events: list[Event] = []
    charloom.cross_score(log, parts=3, notify=events.append, **TINY)
    parts = [event.message for event in events if isinstance(event, Notice) and event.message.startswith("part ")]
    assert parts == [
        "part 1 of 3: lines 1 to 100 by a model of the others",
        "part 2 of 3: lines 101 to 200 by a model of the others",
        "part 3 of 3: lines 201 to 300 by a model of the others",
    ]
    steps = [event for event in events if isinstance(event, StepTaken)]
    assert [(event.step, event.steps) for event in steps] == [(step, 9) for step in range(1, 10)]
    assert steps[2].seconds_left > 0, "two more parts are to come"
    assert steps[-1].seconds_left == 0
    assert [type(event) for event in events if not isinstance(event, Notice | StepTaken)] == [
        TrainingStarted, Evaluated, Evaluated, Evaluated,
    ]  # fmt: skip


def test_a_listener_that_fails_ends_nothing_and_the_same_seed_gives_the_same_scores(log: Path) -> None:
    def fails(event: Event) -> None:
        raise ValueError("the window is closed")

    assert charloom.cross_score(log, parts=2, notify=fails, **TINY) == charloom.cross_score(log, parts=2, **TINY)


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        (("öl und mehr\r\n" * 40).encode("utf-16"), {"encoding": "utf-16"}, "öl und mehr"),
        (("öl und mehr\n" * 40).encode("latin-1"), {"encoding": "latin-1"}, "öl und mehr"),
        (b"no \xff text\n" * 40, {"vocabulary": "bytes"}, "no \udcff text"),
        (b"\0\0 zero\n" * 40, {}, "\0\0 zero"),
    ],
)
def test_lines_of_any_encoding_are_learned_as_they_are(
    tmp_path: Path, content: bytes, options: dict[str, Any], text: str
) -> None:
    (tmp_path / "log").write_bytes(content)
    scores = charloom.cross_score(tmp_path / "log", parts=2, **options, **TINY)
    assert [(score.text, score.unknown) for score in scores] == [(text, 0)] * 40


@pytest.mark.parametrize("name", ["lines", "model/.vocabulary.json.*.part"])
def test_a_full_disk_is_named_and_nothing_is_left_anywhere(
    log: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = tmp_path / "state"
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: state / name)
    if name == "lines":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    else:
        full_disk(monkeypatch, temporary, f"charloom-*/{name}")
        monkeypatch.setattr(Checkpoints, "save", out_of_room)
    with pytest.raises(StorageError) as caught:
        charloom.cross_score(log, **TINY)
    assert str(caught.value) == (
        f"cannot write temporary files in {temporary}: free some space there, or set the variable TMPDIR to another "
        f"folder"
    )
    assert list(temporary.glob("charloom-*")) == []
    assert not state.exists()


def out_of_room(checkpoints: Checkpoints, state: TrainingState, ranks: Ranks) -> None:
    """Keep the checkpoint in memory, as `Checkpoints.save` does where it cannot write."""
    content = save(dict(state.model.state_dict()), metadata={})
    checkpoints._unsaved = (checkpoints._path(state.progress.step), content)
    raise StorageError("the disk is full")


def test_without_a_folder_for_temporary_files_the_variable_is_named(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "missing")])
    with pytest.raises(StorageError, match="TMPDIR"):
        charloom.cross_score(log, **TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 1}, "parts = 1: choose 2 to 100"),
        ({"parts": 101}, "parts = 101: choose 2 to 100"),
        ({"parts": True}, "parts = True: choose 2 to 100"),
        ({"parts": 20}, "300 lines are too few for 20 parts: at least 400"),
        ({"mask": "("}, "mask"),
        ({"mask": 5}, "mask"),
        ({"track": ["mlflow"]}, "nothing is tracked: leave track out"),
        ({"validation": "held-out.log"}, "validates it: leave validation out"),
        ({"budget": "9s"}, "budget = 9s: 5 models need 2s each: give 10s or more"),
        ({"budget": "5s", "steps": 5}, "give budget or steps, not both"),
        ({"hidden": 5}, "there is no training option called 'hidden'"),
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


@pytest.mark.parametrize(("lines", "message"), [(0, "0 lines are"), (1, "1 line is"), (19, "19 lines are")])
def test_too_few_lines_are_counted(tmp_path: Path, lines: int, message: str) -> None:
    (tmp_path / "log").write_text("a b\n" * lines)
    with pytest.raises(CorpusError, match=f"{message} too few for 5 parts: at least 100"):
        charloom.cross_score(tmp_path / "log")
