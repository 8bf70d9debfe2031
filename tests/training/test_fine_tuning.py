"""Training from another model: at its default as good as starting over; the learning rate is measured once."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load, save

import charloom
from charloom.bundle import open_model_directory
from charloom.events import Event, Notice
from charloom.files import sha256_of_file
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
