from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line


def test_recite(charloom: Charloom, trained: Path, small_text: Path) -> None:
    ran = charloom("recite", trained, small_text, "--samples", 20, "--json")
    assert ran.status == 0
    assert {"samples", "exact", "exact_fraction", "mean_matched"} <= set(ran.json)
    assert (ran.json["samples"], ran.json["exact"], ran.json["exact_fraction"]) == (20, 0, 0.0)
    assert (ran.json["prompt_length"], ran.json["length"], ran.json["split"]) == (57, 128, "train")
    assert 0 <= ran.json["mean_matched"] < 128
    shown = charloom("recite", trained, small_text, "--samples", 20).out
    assert "0 of 20 passages recited without a fault" in shown
    failed = ran.json["failed"]
    assert f"{failed['prompt']} | {failed['expected']}" in shown
    assert f"{failed['prompt']} | {failed['written']}" in shown


def test_recite_shows_what_was_recited(charloom: Charloom, trained: Path, small_text: Path) -> None:
    """One character is easily right."""
    ran = charloom("recite", trained, small_text, "--length", 1, "--samples", 200, "--split", "all")
    assert "--- recited, from character" in ran.out
    assert "--- failed after 0, from character" in ran.out


def test_novelty(charloom: Charloom, trained: Path, small_text: Path) -> None:
    ran = charloom("novelty", trained, small_text, "--characters", 1000, "--json")
    assert ran.status == 0
    assert ran.json["characters"] == 1000
    assert set(ran.json["copied_fraction"]) == {"20", "50", "100"}
    assert ran.json["longest"] == ran.json["copies"][0]["length"] > 0
    assert set(ran.json["unseen"]) == {"characters", "longest", "copied_fraction"}
    shown = charloom("novelty", trained, small_text, "--characters", 1000).out
    assert "1,000 characters written with seed 1, searched for in 18,000 (the train split)" in shown
    assert "real text, unseen" in shown


def test_novelty_of_a_given_text(charloom: Charloom, trained: Path, small_text: Path, tmp_path: Path) -> None:
    text = small_text.read_text("utf-8")
    (tmp_path / "mine.txt").write_text(text[500:620])
    ran = charloom("novelty", trained, small_text, "--file", tmp_path / "mine.txt", "--split", "all", "--json")
    assert ran.json["copied_fraction"] == {"20": 1.0, "50": 1.0, "100": 1.0}
    assert ran.json["copies"] == [
        {"length": 120, "offset": 500, "line": text[:500].count("\n") + 1, "text": text[500:620]}
    ]
    assert ran.json["unseen"] is None
    ran = charloom("novelty", trained, small_text, "--file", tmp_path / "mine.txt", "--characters", 3)
    assert ran.status == 2
    assert "--characters is for one to be written: leave one out" in one_line(ran)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("recite",), 2, "name the corpus to recite"),
        (("novelty",), 2, "name the corpus to search"),
        (("recite", "{text}", "--samples", "0"), 2, "--samples 0: give 1 or more"),
        (("recite", "{text}", "--length", "100000"), 1, "a passage needs 100,057"),
        (("recite", "{text}", "--length", "17900"), 2, "samples = 100: this split has only 44 passages"),
        (("novelty", "{text}", "--characters", "2000000"), 2, "--characters 2000000: give 1,000,000 or less"),
        (("novelty", "{text}", "--file", "none.txt"), 1, "none.txt"),
        (("recite", "none.txt"), 1, "none.txt"),
    ],
)
def test_bad_input(
    charloom: Charloom, trained: Path, small_text: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    command, *rest = (str(part).format(text=small_text) for part in arguments)
    ran = charloom(command, trained, *rest)
    assert ran.status == status
    assert said in one_line(ran)
    assert ran.out == ""


def test_inspect_says_what_is_memorized(charloom: Charloom, trained: Path) -> None:
    memory = json.loads((trained / "config.json").read_text())["memory"]
    assert charloom("inspect", trained, "--json").json["config"]["memory"] == memory
    said = charloom("inspect", trained).out
    assert f"memorized: 0 of {memory['recited']['samples']} passages" in said
    assert (
        f"{memory['unseen']['copied_fraction']['50']:.1%} (the longest: {memory['unseen']['longest']:,}) of real"
        in said
    )
