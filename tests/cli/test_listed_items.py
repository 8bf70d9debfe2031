"""What a model knows of its list: `generate --new`, `evaluate`, `novelty`, `inspect` and the card speak of items."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from charloom import UsageError, load, train
from tests.cli.conftest import Charloom, one_line

SYLLABLES = ["ka", "lo", "mi", "ren", "tas", "vu", "ge"]
POSSIBLE = [f"{first}{second}{third}" for first in SYLLABLES for second in SYLLABLES for third in (*SYLLABLES, "")]
LISTED = random.Random(1).sample(POSSIBLE, 200)
OPTIONS: dict[str, Any] = {
    "hidden_size": 32, "embedding_size": 8, "batch_size": 8, "bptt": 32, "steps": 250, "learning_rate": 0.02,
    "dropout": 0, "threads": 1, "device": "cpu", "items": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("list") / "names.txt"
    path.write_text("".join(f"{item}\n" for item in LISTED), "utf-8")
    return path


@pytest.fixture(scope="module")
def learned(names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    train(names, folder, **OPTIONS)
    return folder


def test_new_items_are_on_the_list_nowhere(charloom: Charloom, learned: Path, names: Path) -> None:
    usual = charloom("generate", learned, "--items", 60, "--seed", 1).out.splitlines()
    assert set(usual) & set(LISTED)
    new = charloom("generate", learned, "--items", 60, "--seed", 1, "--new").out.splitlines()
    assert len(new) == 60
    assert not set(new) & set(LISTED)
    assert [item for item in usual if item not in LISTED] == new[: len(set(usual) - set(LISTED))]
    assert new == charloom("generate", learned, "--items", 60, "--seed", 1, "--exclude", names).out.splitlines()
    (left_out := names.parent / "more.txt").write_text(f"{new[0]}\n", "utf-8")
    both = charloom("generate", learned, "--items", 59, "--seed", 1, "--new", "--exclude", left_out).out.splitlines()
    assert both == new[1:]


def test_a_model_that_keeps_no_list_says_what_to_give(charloom: Charloom, names: Path, tmp_path: Path) -> None:
    train(names, tmp_path / "m", **{**OPTIONS, "steps": 2, "known_items": False})
    assert "known-items.bin" not in json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["files"]
    assert not (tmp_path / "m" / "known-items.bin").exists()
    ran = charloom("generate", tmp_path / "m", "--items", 3, "--new")
    assert (ran.status, ran.out) == (2, "")
    assert "keeps no list of what it learned: give the list" in one_line(ran)
    assert "say how many to write" in one_line(charloom("generate", tmp_path / "m", "--new"))


def test_damaged_hashes_are_an_error_where_they_are_needed(charloom: Charloom, learned: Path, tmp_path: Path) -> None:
    for file in learned.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "known-items.bin").write_bytes(b"1234")
    assert charloom("generate", tmp_path, "--items", 3).status == 0
    ran = charloom("generate", tmp_path, "--items", 3, "--new")
    assert ran.status == 1
    assert "known-items.bin is damaged" in one_line(ran)
    assert charloom("inspect", tmp_path).status == 1


def test_evaluate_says_what_an_item_costs(charloom: Charloom, learned: Path, names: Path) -> None:
    found = charloom("evaluate", learned, names, "--json").json
    assert found["items"] == 20
    assert found["bits_per_item"] == pytest.approx(found["bits_per_char"] * found["characters"] / 20)
    said = charloom("evaluate", learned, names).out
    assert f"; 20 items of {found['bits_per_item']:.2f} bits each)" in said


@pytest.mark.parametrize("split", ["train", "validation", "all"])
def test_a_copy_of_an_item_is_shown_where_it_is_in_the_list(
    charloom: Charloom, learned: Path, names: Path, tmp_path: Path, split: str
) -> None:
    (tmp_path / "given.txt").write_text("\n".join(LISTED), "utf-8")
    ran = charloom("novelty", learned, names, "--split", split, "--file", tmp_path / "given.txt", "--json")
    assert ran.json["copies"]
    assert ran.json["longest"] <= max(map(len, LISTED)), "no copy is longer than an item"
    text = names.read_text("utf-8")
    for copy in ran.json["copies"]:
        assert any(copy["text"] in item for item in LISTED)
        assert text[copy["offset"] :].startswith(copy["text"])
        assert copy["text"] in text.split("\n")[copy["line"] - 1]
    if split == "train":
        assert ran.json["unseen"]["longest"] <= max(map(len, LISTED))


def test_novelty_counts_items(charloom: Charloom, learned: Path, names: Path, tmp_path: Path) -> None:
    found = charloom("novelty", learned, names, "--split", "all", "--characters", 3000, "--seed", 2, "--json").json
    items = found["items"]
    assert items["written"] * 4 < found["characters"] < items["written"] * 10
    assert 0 < items["listed"] < items["written"]
    assert found["longest"] <= max(map(len, LISTED)), "no copy is longer than an item"
    (given := tmp_path / "given.txt").write_text(f"{LISTED[0]}\n{LISTED[1]}\n{LISTED[0]}\n\nxyz\n", "utf-8")
    ran = charloom("novelty", learned, names, "--split", "all", "--file", given, "--json")
    assert ran.json["items"] == {"written": 4, "different": 3, "listed": 3}
    said = charloom("novelty", learned, names, "--split", "all", "--file", given).out
    assert "4 items, 3 different ones; 3 (75.0%) are among those searched" in said


def test_the_card_and_inspect_say_how_many_are_on_the_list(charloom: Charloom, learned: Path) -> None:
    listed = json.loads((learned / "config.json").read_text("utf-8"))["listed"]
    assert 0 < listed["listed"] < listed["written"] <= 1000
    card = (learned / "README.md").read_text("utf-8")
    assert f"Of {listed['written']:,} items that it wrote, {listed['listed']:,}" in card
    assert f"{listed['listed']:,} of {listed['written']:,} items that it wrote are on its list" in (
        charloom("inspect", learned).out
    )


@pytest.mark.parametrize("written", ["{0}", "\ufeff{0}", "\r\n{0}", "{0}\r"])
def test_a_list_is_compared_as_the_model_reads_it(
    charloom: Charloom, names: Path, tmp_path: Path, written: str, lower: Path
) -> None:
    usual = charloom("generate", lower, "--items", 30, "--seed", 1).out.splitlines()
    (tmp_path / "list.txt").write_text(written.format(usual[0].upper()), "utf-8", newline="")
    left = charloom("generate", lower, "--items", 29, "--seed", 1, "--exclude", tmp_path / "list.txt").out.splitlines()
    assert left == usual[1:]


def test_a_prompt_in_other_letters_hides_nothing_that_was_learned(lower: Path) -> None:
    model = load(lower)
    assert {item.lower() for item in model.items(20, "KA", seed=1)} & set(LISTED)
    new = model.items(20, "KA", seed=1, new=True)
    assert new[0].startswith("KA")
    assert not {item.lower() for item in new} & set(LISTED)
    with pytest.raises(UsageError, match="several items"):
        model.items(3, exclude="names.txt")


@pytest.fixture(scope="module")
def lower(names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads all letters as small ones."""
    folder = tmp_path_factory.mktemp("lower")
    (folder / "Names.txt").write_text(names.read_text("utf-8").title(), "utf-8")
    train(folder / "Names.txt", folder / "m", **{**OPTIONS, "clean": ["lowercase"]})
    return folder / "m"
