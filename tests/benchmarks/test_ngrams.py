"""n-grams beside a short training: they are probabilities, and both sides read the same characters."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import ngrams


def test_probabilities_sum_to_one() -> None:
    grams = ngrams.WittenBell(["abab\n", "abba\n"], 3)
    for before in ("", "a", "ab", "zz"):
        letters = sum(math.exp(-grams.nats(letter, before)[0]) for letter in "ab\n")
        one_more = math.exp(-grams.nats("z", before)[0])
        assert letters + one_more == pytest.approx(1)


def test_a_unigram_counts() -> None:
    grams = ngrams.WittenBell(["aab"], 1)
    assert grams.nats("ab") == pytest.approx([-math.log((2 + 2 / 3) / 5), -math.log((1 + 2 / 3) / 5)])


def test_both_read_the_same_characters(prose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "20", "--hidden-size", "12", "--highest", "3"]
    ngrams.main([str(prose), str(tmp_path / "model"), "--json", *options])
    found = json.loads(capsys.readouterr().out)
    assert found["learned"] + found["held_out"] == 100_000
    assert found["held_out"] == pytest.approx(10_000, rel=0.1)
    assert found["symbols"] == len(set(prose.read_text("utf-8"))) + 1
    assert found["3-gram"] < found["2-gram"] < found["1-gram"] < math.log(found["symbols"])
    assert found["charloom"] < math.log(found["symbols"])
