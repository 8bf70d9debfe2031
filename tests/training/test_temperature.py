"""The temperature that a model writes at by default: measured against held-out text, unless the user gives one."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

import charloom

SYLLABLES = ["ba", "do", "fi", "gul", "ke", "lor", "mi", "nas", "po", "rum", "ta", "ve"]
OPTIONS: dict[str, Any] = {
    "hidden_size": 32, "embedding_size": 8, "batch_size": 8, "bptt": 32, "steps": 150, "learning_rate": 0.02,
    "dropout": 0.0, "threads": 1, "device": "cpu",
}  # fmt: skip
WORD = re.compile(r"[a-z]+")


def temperature_of(model: Path) -> float:
    return float(json.loads((model / "generation_config.json").read_text("utf-8"))["temperature"])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of two to four syllables, a few of them very common."""
    draw = random.Random(1)
    words = ["".join(draw.choices(SYLLABLES, k=draw.choice([2, 3, 4]))) for _ in range(600)]
    weights = [1 / (place + 1) for place in range(len(words))]
    lines = [" ".join(draw.choices(words, weights, k=9)) for _ in range(900)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def learned(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    charloom.train(text, folder, **OPTIONS)
    return folder


def test_it_is_in_every_place_that_says_how_the_model_writes(learned: Path) -> None:
    chosen = json.loads((learned / "config.json").read_text("utf-8"))["training"]["temperature"]
    assert chosen["temperature"] == temperature_of(learned) == charloom.load(learned).sampling.temperature
    assert 0.5 <= chosen["temperature"] <= 1
    assert chosen["reason"] in (learned / "README.md").read_text("utf-8")
    assert "held-out text" in chosen["reason"]


def test_what_it_writes_has_no_more_new_words_than_held_out_text_has(text: Path, learned: Path) -> None:
    """Counted again, in another text that it writes; at the highest temperature that was tried it would have more."""
    whole = text.read_text("utf-8")
    cut = len(whole) * 9 // 10
    known = set(WORD.findall(whole[:cut]))

    def new(texts: list[str]) -> float:
        words = [word for one in texts for word in WORD.findall(one)[:-1]]
        return sum(word not in known for word in words) / len(words)

    def written(**options: Any) -> float:
        samples = charloom.load(learned).generate_samples("", 40, length=400, seed=77, **options)
        return new([sample.text for sample in samples])

    most = max(0.01, new([whole[cut:]]))
    assert temperature_of(learned) == 0.5 or written() <= most + 0.03
    assert written(temperature=1.0) > most


def test_the_same_run_chooses_the_same(text: Path, learned: Path, tmp_path: Path) -> None:
    charloom.train(text, tmp_path / "again", **OPTIONS)
    assert (tmp_path / "again/generation_config.json").read_bytes() == (learned / "generation_config.json").read_bytes()


def test_a_run_that_is_resumed_chooses_the_same(text: Path, learned: Path, tmp_path: Path) -> None:
    calls = iter(range(10_000))
    options = {**OPTIONS, "evaluate_every": 50}
    charloom.train(text, tmp_path / "whole", **options)
    first = charloom.train(text, tmp_path / "m", should_stop=lambda: next(calls) > 70, **options)
    assert first.interrupted
    assert temperature_of(Path(first.model)) == 0.8, "somebody waits after Ctrl-C"
    charloom.train(text, tmp_path / "m", resume=True, **options)
    assert temperature_of(tmp_path / "m") == temperature_of(tmp_path / "whole")


def test_a_recipe_that_says_one_is_followed(text: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("sampling: {temperature: 0.33}\n", "utf-8")
    calls = iter(range(10_000))
    options = {**OPTIONS, "steps": 20, "evaluate_every": 5, "recipe": str(tmp_path / "mine.yaml")}
    charloom.train(text, tmp_path / "m", should_stop=lambda: next(calls) > 10, **options)
    charloom.train(text, tmp_path / "m", resume=True, **options)
    assert temperature_of(tmp_path / "m") == 0.33
    assert "temperature" not in json.loads((tmp_path / "m/config.json").read_text("utf-8"))["training"]
    assert "at temperature" not in (tmp_path / "m/README.md").read_text("utf-8")


def test_a_script_without_spaces_is_measured_by_runs_of_characters(tmp_path: Path) -> None:
    draw = random.Random(2)
    words = ["".join(chr(0x4E00 + draw.randrange(60)) for _ in range(draw.choice([1, 2, 2, 3]))) for _ in range(200)]
    lines = ["".join(draw.choices(words, k=12)) + "。" for _ in range(700)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", "utf-8")
    charloom.train(tmp_path / "text.txt", tmp_path / "m", **OPTIONS)
    chosen = json.loads((tmp_path / "m/config.json").read_text("utf-8"))["training"]["temperature"]
    assert re.search(r"the runs of \d characters in what it writes", chosen["reason"])


def test_a_list_of_items_is_measured_by_its_new_items(tmp_path: Path) -> None:
    draw = random.Random(3)
    items = {"".join(draw.choices(SYLLABLES, k=draw.choice([2, 3, 4]))) for _ in range(4_000)}
    (tmp_path / "list.txt").write_text("".join(f"{item}\n" for item in sorted(items)), "utf-8")
    charloom.train(tmp_path / "list.txt", tmp_path / "m", **OPTIONS)
    chosen = json.loads((tmp_path / "m/config.json").read_text("utf-8"))["training"]["temperature"]
    assert re.search(r"the runs of \d characters in the new items it writes", chosen["reason"])


def test_too_little_text_leaves_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("All that there is, is this.\n" * 60, "utf-8")
    charloom.train(tmp_path / "text.txt", tmp_path / "m", **{**OPTIONS, "steps": 5})
    assert temperature_of(tmp_path / "m") == 0.8
    assert "0.8, the usual: there is too little text" in (tmp_path / "m/README.md").read_text("utf-8")
