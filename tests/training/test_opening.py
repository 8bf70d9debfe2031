"""What a text without line ends and spaces begins with is learned, in every kind of vocabulary and by every way in."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import charloom
from charloom.bundle import open_model_directory
from tests.training.test_run import after

OPTIONS: dict[str, Any] = {
    "hidden_size": 24, "embedding_size": 8, "batch_size": 16, "bptt": 40, "steps": 250, "evaluate_every": 125,
    "learning_rate": 0.01, "seed": 3, "threads": 1, "device": "cpu",
}  # fmt: skip
LETTERS = "".join(random.Random(5).choices("ACGT", weights=[5, 3, 2, 1], k=24_000))
SHARES = {"A": 5 / 11, "C": 3 / 11, "G": 2 / 11, "T": 1 / 11}


def first_letters(model: Path, folder: Path) -> dict[str, float]:
    """The probability of each letter at the beginning of a text, by `charloom score`."""
    for letter in SHARES:
        (folder / f"{letter}.txt").write_text(letter, "utf-8")
    files = [f"{letter}.txt" for letter in SHARES]
    command = [sys.executable, "-m", "charloom", "score", str(model), *files, "--json", "--precision", "float32"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=folder)
    scores = [json.loads(line) for line in done.stdout.splitlines()]
    return {letter: math.exp(-score["nats"]) for letter, score in zip(SHARES, scores, strict=True)}


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"vocabulary": "bytes"},
        {"embedding_size": 0, "cell": "gru"},
        {"end": "\n"},  # of the whole text, as most files have it
    ],
    ids=str,
)
def test_the_first_letter_is_as_likely_as_in_the_text(kind: dict[str, Any], tmp_path: Path) -> None:
    options = {**OPTIONS, **kind}
    (tmp_path / "dna.txt").write_text(LETTERS + options.pop("end", ""), "utf-8")
    charloom.train(tmp_path / "dna.txt", tmp_path / "m", **options)
    found = first_letters(tmp_path / "m", tmp_path)
    assert sum(found.values()) > 0.98, "the rest would go to what the text does not have"
    for letter, share in SHARES.items():
        assert found[letter] == pytest.approx(share, abs=0.12)


def test_resumed_is_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "dna.txt").write_text(LETTERS, "utf-8")
    options = {**OPTIONS, "steps": 60, "evaluate_every": 20}
    charloom.train(tmp_path / "dna.txt", tmp_path / "whole", **options)
    charloom.train(tmp_path / "dna.txt", tmp_path / "m", should_stop=after(33), **options)
    charloom.train(tmp_path / "dna.txt", tmp_path / "m", resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "m")]
    assert weights[0] == weights[1]
    assert open_model_directory(tmp_path / "m").vocabulary.opening_id == 0
