"""Training from another model: at its default as good as starting over; the learning rate is measured once."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import charloom
from charloom.bundle import open_model_directory
from charloom.errors import CorpusError, TrainingError, UsageError
from charloom.events import Event, Notice
from charloom.files import sha256_of_file
from charloom.training.mixed_batches import mixed_items, mixed_rows
from charloom.training.schedule import usual_rate

SMALL: dict[str, Any] = {"batch_size": 8, "bptt": 25, "threads": 1, "device": "cpu", "dropout": 0.0}
OLD: dict[str, Any] = {**SMALL, "steps": 150, "hidden_size": 24, "embedding_size": 8}
NEW: dict[str, Any] = {**SMALL, "steps": 110}


def log_text(places: str, seed: int) -> str:
    """A log in which a line's end follows from its beginning."""
    draw, kinds = random.Random(seed), ["opened", "closed", "locked", "failed"]
    words = [place * 2 + kind for place in places for kind in kinds]
    return "".join(
        f"{word} at {draw.randint(10, 23)}:00, {word[::-1]} after it\n" for word in draw.choices(words, k=500)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old.txt`, `old`, a model of it; `alike.txt` and `other.txt` to go on with."""
    made = tmp_path_factory.mktemp("fine-tuning")
    (made / "old.txt").write_text(log_text("abcd", 1), "utf-8")
    (made / "alike.txt").write_text(log_text("bcde", 2)[:6000], "utf-8")
    (made / "other.txt").write_text(log_text("wxyz", 3).upper().replace(" ", "_")[:9000], "utf-8")
    charloom.train(made / "old.txt", made / "old", **OLD)
    return made


def read_training(model: Path) -> dict[str, Any]:
    training: dict[str, Any] = json.loads((model / "config.json").read_text("utf-8"))["training"]
    return training


@pytest.mark.parametrize("text", ["alike", "other"])
def test_the_default_is_no_worse_than_starting_over(folder: Path, tmp_path: Path, text: str) -> None:
    said: list[Event] = []
    again = charloom.train(folder / f"{text}.txt", tmp_path / "a", init_from=folder / "old", notify=said.append, **NEW)
    over = charloom.train(folder / f"{text}.txt", tmp_path / "b", **{**OLD, **NEW})
    own_rate = charloom.train(
        folder / f"{text}.txt", tmp_path / "c", **{**OLD, **NEW, "learning_rate": usual_rate(OLD["hidden_size"])}
    )
    assert again.validation_loss < over.validation_loss - 0.1
    assert again.validation_loss < own_rate.validation_loss - 0.02
    training = read_training(tmp_path / "a")
    tried = {probe["learning_rate"]: probe["loss"] for probe in training["init_from"]["probes"] if probe["from_origin"]}
    assert len(tried) >= 2
    assert training["init_from"]["keeps_weights"]
    assert tried[training["settings"]["learning_rate"]] <= 1.05 * min(tried.values())
    assert any("learning rates tried" in event.message for event in said if isinstance(event, Notice))


def stop_after(asked: int) -> Callable[[], bool]:
    """Asked so often, it stops the run."""
    left = iter(range(asked))
    return lambda: next(left, None) is None


def test_a_resumed_run_does_not_measure_again(folder: Path, tmp_path: Path) -> None:
    whole, parted, origin = tmp_path / "whole", tmp_path / "parted", tmp_path / "copy"
    shutil.copytree(folder / "old", origin)
    charloom.train(folder / "other.txt", whole, init_from=origin, **NEW)
    tried = len(read_training(whole)["init_from"]["probes"])
    updates = int(0.05 * NEW["steps"])
    stop = stop_after(tried * updates + 40)
    assert charloom.train(folder / "other.txt", parted, init_from=origin, should_stop=stop, **NEW).interrupted
    shutil.rmtree(origin)
    said: list[Event] = []
    result = charloom.train(folder / "other.txt", parted, resume=True, notify=said.append, **NEW)
    assert result.resumed_from_step > 0
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not any("learning rate" in event.message for event in said if isinstance(event, Notice))
    assert read_training(parted)["init_from"]["probes"] == read_training(whole)["init_from"]["probes"]


def test_asked_to_stop_while_it_measures(folder: Path, tmp_path: Path) -> None:
    result = charloom.train(
        folder / "alike.txt", tmp_path / "m", init_from=folder / "old", should_stop=stop_after(3), **NEW
    )
    assert (result.interrupted, result.steps) == (True, 1)
    assert read_training(tmp_path / "m")["settings"]["learning_rate"] == usual_rate(OLD["hidden_size"])


def test_a_rate_that_is_given_is_not_measured(folder: Path, tmp_path: Path) -> None:
    charloom.train(folder / "alike.txt", tmp_path / "m", init_from=folder / "old", learning_rate=0.02, **NEW)
    training = read_training(tmp_path / "m")
    assert training["settings"]["learning_rate"] == 0.02
    assert "probes" not in training["init_from"]


def test_useless_weights_are_not_kept(folder: Path, tmp_path: Path) -> None:
    """Weights of a network whose units are all saturated: it starts over, and says so."""
    useless, path = tmp_path / "useless", tmp_path / "useless" / "model.safetensors"
    shutil.copytree(folder / "old", useless)
    path.write_bytes(save({name: 300 * weights for name, weights in load(path.read_bytes()).items()}))
    config = json.loads((useless / "config.json").read_text("utf-8"))
    config["files"]["model.safetensors"] = sha256_of_file(path)
    (useless / "config.json").write_text(json.dumps(config), "utf-8")
    said: list[Event] = []
    charloom.train(folder / "other.txt", tmp_path / "m", init_from=useless, notify=said.append, **NEW)
    training = read_training(tmp_path / "m")
    assert training["init_from"]["keeps_weights"] is False
    assert training["settings"]["learning_rate"] == usual_rate(OLD["hidden_size"])
    assert any("starts over" in event.message for event in said if isinstance(event, Notice))


def test_a_budget_measures_within_its_time(folder: Path, tmp_path: Path) -> None:
    """The size is the old model's; how many rates are tried depends on the machine."""
    charloom.train(folder / "alike.txt", tmp_path / "m", init_from=folder / "old", budget="3s", threads=1, device="cpu")
    config = open_model_directory(tmp_path / "m").config
    rates = [usual_rate(OLD["hidden_size"]), *(p["learning_rate"] for p in config.training["init_from"]["probes"])]
    assert config.model.hidden_size == OLD["hidden_size"]
    assert config.training["settings"]["learning_rate"] in rates


def test_what_it_costs_on_the_old_text_and_keeping_it(folder: Path, tmp_path: Path) -> None:
    fine_tuned = charloom.train(folder / "other.txt", tmp_path / "a", init_from=folder / "old", **NEW)
    both = charloom.train(
        folder / "other.txt", tmp_path / "b", init_from=folder / "old", keep_old=folder / "old.txt", **NEW
    )
    over = charloom.train(folder / "other.txt", tmp_path / "c", **{**OLD, **NEW})
    assert fine_tuned.old_text is not None
    assert both.old_text is not None
    assert (fine_tuned.old_text["name"], fine_tuned.old_text["kept"]) == ("old.txt", False)
    assert both.old_text["kept"]
    assert fine_tuned.old_text["before"] == both.old_text["before"]
    assert fine_tuned.old_text["after"] > fine_tuned.old_text["before"] + 1
    assert both.old_text["after"] < both.old_text["before"] + 0.2
    assert both.validation_loss < over.validation_loss
    card = (tmp_path / "b" / "README.md").read_text("utf-8")
    assert f"nats\nand this one has {both.old_text['after']:.4f}" in card
    assert read_training(tmp_path / "b")["result"]["old_text"] == both.old_text
    assert str(folder) not in (tmp_path / "b" / "config.json").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_an_old_text_is_measured_where_the_old_model_did_not_learn_it(folder: Path, tmp_path: Path, kept: bool) -> None:
    (tmp_path / "old.txt").write_bytes((folder / "old.txt").read_bytes())
    cut: dict[str, Any] = {"validation_split": "blocks", "validation_fraction": 0.25}
    charloom.train(tmp_path / "old.txt", tmp_path / "old", **OLD, **cut)
    options: dict[str, Any] = {**SMALL, "steps": 2, **({"keep_old": tmp_path / "old.txt"} if kept else {})}
    result = charloom.train(folder / "alike.txt", tmp_path / "m", init_from=tmp_path / "old", **options)
    held_out = charloom.load(tmp_path / "old", precision="float32").evaluate(
        tmp_path / "old.txt", protocol="windows-256"
    )
    assert result.old_text is not None
    assert result.old_text["characters"] == held_out.characters
    assert result.old_text["before"] == pytest.approx(held_out.loss, rel=1e-4)


def test_another_text_of_its_name_is_not_the_old_text(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "old", tmp_path / "models" / "old")
    shutil.copy(folder / "alike.txt", tmp_path / "new.txt")
    (tmp_path / "old.txt").write_text(log_text("abcd", 4), "utf-8")
    result = charloom.train(
        tmp_path / "new.txt", tmp_path / "m", init_from=tmp_path / "models" / "old", **{**NEW, "steps": 3}
    )
    assert result.old_text is None


def test_a_run_that_keeps_the_old_text_is_resumed(folder: Path, tmp_path: Path) -> None:
    whole, parted, origin, text = (tmp_path / name for name in ("whole", "parted", "copy", "kept.txt"))
    shutil.copytree(folder / "old", origin)
    shutil.copy(folder / "old.txt", text)
    short = {**NEW, "steps": 60}
    charloom.train(folder / "alike.txt", whole, init_from=origin, keep_old=text, **short)
    stop = stop_after(45)
    charloom.train(folder / "alike.txt", parted, init_from=origin, keep_old=text, should_stop=stop, **short)
    shutil.rmtree(origin)
    with pytest.raises(TrainingError, match=r"kept\.txt is not the old text"):
        charloom.train(folder / "alike.txt", parted, resume=True, keep_old=folder / "other.txt", **short)
    result = charloom.train(folder / "alike.txt", parted, resume=True, **short)
    assert 0 < result.resumed_from_step < result.steps
    assert (parted / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert result.old_text == read_training(whole)["result"]["old_text"]


def test_a_list_keeps_the_old_list(folder: Path, tmp_path: Path) -> None:
    draw = random.Random(5)
    for name, letters in (("old", "abcde"), ("new", "vwxyz")):
        items = ["".join(draw.choices(letters, k=draw.randint(4, 7))) * 2 for _ in range(300)]
        (tmp_path / f"{name}.txt").write_text("\n".join(items) + "\n", "utf-8")
    short = {**SMALL, "steps": 60, "items": True}
    charloom.train(tmp_path / "old.txt", tmp_path / "old", **short, hidden_size=16, embedding_size=8)
    result = charloom.train(
        tmp_path / "new.txt", tmp_path / "m", init_from=tmp_path / "old", keep_old=tmp_path / "old.txt", **short
    )
    assert result.old_text is not None
    assert result.old_text["after"] < result.old_text["before"] + 0.2


def test_there_must_be_something_to_keep(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --init-from"):
        charloom.train(folder / "alike.txt", tmp_path / "m", keep_old=folder / "old.txt", **NEW)
    with pytest.raises(CorpusError, match="nowhere"):
        charloom.train(
            folder / "alike.txt", tmp_path / "m", init_from=folder / "old", keep_old=folder / "nowhere.txt", **NEW
        )
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("sizes", [(1000, 300), (300, 1000)])
def test_an_epoch_has_all_of_the_new_text_and_as_much_of_the_old_one(sizes: tuple[int, int]) -> None:
    new, old = np.full(sizes[0], 1, dtype=np.uint16), np.full(sizes[1], 2, dtype=np.uint16)
    rows = mixed_rows([new], old, batch_size=4, bptt=10, seed=1)
    items = mixed_items(np.tile([1, 1, 0], sizes[0]), np.tile([2, 2, 0], sizes[1]), batch_size=4, bptt=10, seed=1)
    for batches, characters in ((rows, 1), (items, 2)):
        for epoch in (0, 1, 0):
            windows = [batches.window(epoch, index)[1] for index in range(batches.windows_per_epoch)]
            counts = Counter(np.concatenate([window.ravel() for window in windows]).tolist())
            assert counts[1] == characters * sizes[0]
            assert counts[2] == characters * min(sizes)
