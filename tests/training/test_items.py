"""A list of short items from the command line to the model: learned, measured and written one by one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import charloom
from charloom.bundle import open_model_directory
from charloom.errors import CorpusError, UsageError
from charloom.events import Event, Notice
from charloom.runtime.session import initial_state
from charloom.training.model import CharacterModel
from tests.faults.processes import finish
from tests.training.test_ranks import as_rank, flags, port
from tests.training.test_run import after

SYLLABLES = ["ka", "lo", "mi", "ren", "tas", "vu", "ge"]
ITEMS = [f"{first}{second}{third}" for first in SYLLABLES for second in SYLLABLES for third in (*SYLLABLES, "")]
OPTIONS: dict[str, Any] = {
    "hidden_size": 24, "embedding_size": 8, "batch_size": 8, "bptt": 32, "steps": 60, "evaluate_every": 20,
    "learning_rate": 0.02, "dropout": 0.1, "seed": 3, "threads": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The items in order, many twice, enough to be known for a list."""
    path = tmp_path_factory.mktemp("list") / "names.txt"
    path.write_text("".join(f"{item}\n" for item in ITEMS + ITEMS[:200]), "utf-8")
    return path


@pytest.fixture(scope="module")
def learned(names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    charloom.train(names, folder, **OPTIONS)
    return folder


@pytest.mark.parametrize("end", ["", "\n"])
def test_all_lines_of_a_list_are_counted(tmp_path: Path, end: str) -> None:
    events: list[Event] = []
    (tmp_path / "list.txt").write_text("\n".join(ITEMS) + end, "utf-8")
    charloom.train(tmp_path / "list.txt", tmp_path / "m", items=True, notify=events.append, **OPTIONS)
    (said,) = [event.message for event in events if isinstance(event, Notice) and "a list of items" in event.message]
    assert f"of {len(ITEMS):,} lines" in said


def test_a_list_is_found_said_recorded_and_written_one_by_one(names: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    result = charloom.train(names, tmp_path / "m", notify=events.append, **OPTIONS)
    said = [event.message for event in events if isinstance(event, Notice)]
    assert any("a list of items, one a line" in message and "--no-items" in message for message in said)
    directory = open_model_directory(tmp_path / "m")
    assert directory.config.corpus.items
    card = (tmp_path / "m" / "README.md").read_text("utf-8")
    assert "A list of items" in card
    assert "of the items, taken at random" in card
    assert "--items 10" in card
    assert result.sample.count("\n") >= 3
    model = charloom.load(tmp_path / "m")
    written = [model.generate(seed=seed).text for seed in range(20)]
    assert all("\n" not in item and len(item) < 30 for item in written)
    assert len(set(written)) > 10


def test_an_epoch_learns_every_item(names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line end before it, each symbol of the part that is not held out is read once."""
    read = []
    forward = CharacterModel.forward

    def counted(model: CharacterModel, ids: torch.Tensor, state: Any) -> Any:
        if model.training:
            read.append(ids)
        return forward(model, ids, state)

    monkeypatch.setattr(CharacterModel, "forward", counted)
    charloom.train(names, tmp_path / "m", **{**OPTIONS, "steps": None, "epochs": 1})
    letters = sum(int((ids > open_model_directory(tmp_path / "m").vocabulary.opening_id).sum()) for ids in read)
    whole = sum(map(len, ITEMS))
    assert 0.88 * whole < letters < 0.94 * whole


def test_the_loss_is_that_of_each_item_by_itself(names: Path, learned: Path) -> None:
    """Charged by hand: a line end, then the item and the line end after it, from a zero state."""
    model = charloom.load(learned, precision="float32")
    vocabulary = model.vocabulary
    part = model._corpora._part(
        *model._corpora._read(str(names), "validation", lambda _: None), "validation", lambda _: None
    )
    held_out = vocabulary.decode(part[0].ids[1:]).splitlines()
    assert set(held_out) < set(ITEMS)
    nats = symbols = 0.0
    for item in held_out:
        ids = vocabulary.encode(f"\n{item}\n").astype(np.int64)
        costs, _ = model._session.nats(ids[:-1, None], ids[1:, None], initial_state(model._session.shape, 1))
        nats, symbols = nats + float(costs.sum()), symbols + len(item) + 1
    expected = nats / symbols
    recorded = open_model_directory(learned).config.losses
    assert recorded["stateful"].loss == pytest.approx(expected, abs=1e-5)
    assert recorded["windows-256"].loss == pytest.approx(expected, abs=1e-5)
    assert recorded["stateful"].characters == symbols
    assert model.evaluate(names).loss == pytest.approx(expected, abs=1e-5)
    assert model.evaluate(names, split="all").characters == sum(len(item) + 1 for item in ITEMS + ITEMS[:200])


def test_it_learns_items_better_than_the_same_text_in_order(names: Path, learned: Path, tmp_path: Path) -> None:
    """Three different symbols a syllable can begin with, six syllables: about 1.8 nats for each, and nothing else."""
    result = charloom.train(names, tmp_path / "longer", **{**OPTIONS, "steps": 300})
    assert result.losses["stateful"] < 1.0


@pytest.mark.parametrize("items", [True, False])
def test_the_user_says_what_it_is(*, items: bool, names: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("one two\nthree, four.\nfive six\nseven\n" * 20, "utf-8")
    text = few if items else names
    options = {**OPTIONS, "batch_size": 2, "bptt": 8, "steps": 2}
    charloom.train(text, tmp_path / "m", items=items, **options)
    directory = open_model_directory(tmp_path / "m")
    assert directory.config.corpus.items == items
    generation = json.loads((tmp_path / "m" / "generation_config.json").read_text("utf-8"))
    assert generation["stop"] == (["\n"] if items else [])


@pytest.mark.parametrize("steps", [7, 33])
def test_resumed_is_uninterrupted_bit_for_bit(steps: int, names: Path, learned: Path, tmp_path: Path) -> None:
    charloom.train(names, tmp_path / "m", should_stop=after(steps), **OPTIONS)
    charloom.train(names, tmp_path / "m", resume=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (learned / "model.safetensors").read_bytes()
    assert (tmp_path / "m" / "generation_config.json").read_bytes() == (learned / "generation_config.json").read_bytes()


def test_a_run_from_before_lists_were_known_goes_on_as_it_began(names: Path, tmp_path: Path) -> None:
    """Its record says nothing of items, and it has carried its state from line to line."""
    charloom.train(names, tmp_path / "whole", items=False, **OPTIONS)
    charloom.train(names, tmp_path / "m", items=False, should_stop=after(33), **OPTIONS)
    path = tmp_path / "m" / "training" / "run.json"
    run = json.loads(path.read_text("utf-8"))
    del run["settings"]["corpus"]["items"], run["corpus"]["items"], run["settings"]["training"]["precision"]
    run["explicit"].remove("items")
    path.write_text(json.dumps(run), "utf-8")
    charloom.train(names, tmp_path / "m", resume=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_a_validation_file_without_items_is_refused_before_anything_is_written(names: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n\n", "utf-8")
    with pytest.raises(CorpusError, match="no item to validate on"):
        charloom.train(names, tmp_path / "m", validation=str(empty), **OPTIONS)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["Same\n" * 5000, "".join(f"{item}\n" for item in ITEMS * 2) + "x" * 20_000])
def test_what_is_only_taken_for_a_list_is_never_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text, "utf-8")
    charloom.train(tmp_path / "text.txt", tmp_path / "m", **{**OPTIONS, "steps": 2})
    assert not open_model_directory(tmp_path / "m").config.corpus.items


def test_a_list_has_no_passages_to_recite(names: Path, learned: Path) -> None:
    with pytest.raises(UsageError, match="no passages to recite"):
        charloom.load(learned).recite(names)
    assert open_model_directory(learned).config.memory is None


def test_items_have_no_line_end_in_them(learned: Path) -> None:
    model = charloom.load(learned)
    for options in ({"stop": ["a"]}, {"regex": r"(?s).{3,9}"}):
        found = model.items(30, seed=2, **options)
        assert len(found) == 30
        assert all("\n" not in item for item in found)


def test_the_articles_split_is_for_texts(names: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'row-tail' is for a text, not for a list of items"):
        charloom.train(names, tmp_path / "m", items=True, validation_split="row-tail", **OPTIONS)


def test_a_list_of_its_own_is_measured_by_items_too(names: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("kalo\nmiren\nkalo\n", "utf-8")
    result = charloom.train(names, tmp_path / "m", validation=str(other), **{**OPTIONS, "steps": 5})
    assert open_model_directory(tmp_path / "m").config.losses["stateful"].characters == 16
    assert charloom.load(tmp_path / "m").evaluate(other, split="all").loss == pytest.approx(
        result.losses["stateful"], abs=1e-5
    )


def test_the_command_says_how_to_go_on(names: Path, tmp_path: Path) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, "steps": 3}.items()]
    command = [sys.executable, "-m", "charloom", "train", str(names), "-o", str(tmp_path / "m"), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "a list of items" in done.stdout + done.stderr
    assert f"charloom generate {tmp_path / 'm'} --items 10" in done.stdout + done.stderr


@pytest.mark.slow
def test_several_processes_are_refused(names: Path, tmp_path: Path) -> None:
    meeting, options = port(), flags(**{**OPTIONS, "steps": 5})
    for process in [as_rank(rank, meeting, "train", names, "-o", tmp_path / "m", *options) for rank in range(2)]:
        status, out, err = finish(process)
        assert (status, out) == (2, "")
        assert "learned by one process: leave torchrun out, or say --no-items" in err
        assert "Traceback" not in err
    assert not (tmp_path / "m").exists()
