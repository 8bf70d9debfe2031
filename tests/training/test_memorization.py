from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charloom
from charloom.bundle import MemoryRecord
from charloom.bundle.config import parse_config
from charloom.errors import ModelDirectoryError
from charloom.events import ignore
from charloom.settings import CorpusSettings, SamplingSettings
from charloom.text.corpus import CorpusSource
from charloom.text.splits import Segment, beginning
from charloom.training.data import TrainingData, prepare_data
from charloom.training.publish import measure_memory, memory_seconds
from tests.fakes import cycle


def data_of(folder: Path, text: str, **settings: Any) -> TrainingData:
    (folder / "text.txt").write_text(text)
    return prepare_data(CorpusSource([str(folder / "text.txt")]), CorpusSettings(**settings), ignore)


def measured(data: TrainingData) -> MemoryRecord | None:
    return measure_memory(cycle(data.vocabulary.size), data, SamplingSettings(temperature=0), 1)


def test_a_model_that_knows_it_all(tmp_path: Path) -> None:
    record = measured(data_of(tmp_path, "abcde" * 4000))
    assert record is not None
    assert record.searched == 18_000
    assert (record.recited.samples, record.recited.exact, record.recited.mean_matched) == (36, 36, 128.0)
    assert (record.written.characters, record.written.longest) == (1800, 600)
    assert record.written.copied_fraction == {"20": 1.0, "50": 1.0, "100": 1.0}
    assert record.unseen is not None
    assert record.unseen.copied_fraction == {"20": 1.0, "50": 1.0, "100": 1.0}


def test_a_short_text_is_left_alone(tmp_path: Path) -> None:
    data = data_of(tmp_path, "abcde" * 2000)
    assert measured(data) is None
    assert memory_seconds(data, 1.0) == 0


def test_no_unseen_text_where_none_was_held_out(tmp_path: Path) -> None:
    text = "abcde" * 4000
    (tmp_path / "same.txt").write_text(text)
    record = measured(data_of(tmp_path, text, validation=str(tmp_path / "same.txt")))
    assert record is not None
    assert record.searched == 20_000
    assert record.unseen is None


def test_at_most_so_much_is_searched() -> None:
    parts = [Segment(np.arange(11), 0), Segment(np.arange(11), 100), Segment(np.arange(11), 200)]
    assert [(segment.predicted, segment.start) for segment in beginning(parts, 14)] == [(10, 0), (4, 100)]


def test_the_card_and_config_hold_it(trained: Path, small_text: Path) -> None:
    config = parse_config((trained / "config.json").read_bytes())
    memory = config.memory
    assert memory is not None
    assert memory.recited.samples == 36
    assert (memory.searched, memory.written.characters) == (18_000, 1800)
    assert memory.unseen is not None
    card = (trained / "README.md").read_text("utf-8")
    assert f"**{memory.recited.exact} of 36** passages" in card
    assert f"| real text that it was not trained on | 1,800 | {memory.unseen.copied_fraction['20']:.1%} |" in card
    # What the commands measure with the same bounds is the same.
    model = charloom.load(trained)
    assert model.recite(small_text, samples=36).mean_matched == memory.recited.mean_matched
    found = model.novelty(small_text, characters=1800)
    assert found.longest == memory.written.longest
    assert found.unseen is not None
    assert found.unseen.longest == memory.unseen.longest


def test_an_older_model_has_none_and_a_hostile_one_is_refused(trained: Path) -> None:
    data = json.loads((trained / "config.json").read_text())
    damaged = {**data, "memory": {**data["memory"], "searched": -1}}
    with pytest.raises(ModelDirectoryError, match=r"memory\.searched = -1"):
        parse_config(json.dumps(damaged).encode())
    del data["memory"]
    assert parse_config(json.dumps(data).encode()).memory is None


def test_who_interrupts_does_not_wait_for_it(small_text: Path, tmp_path: Path) -> None:
    asked = iter([False, True])
    stopped = charloom.train(
        small_text, tmp_path / "m", hidden_size=8, steps=9, threads=1, device="cpu", should_stop=lambda: next(asked)
    )
    assert stopped.interrupted
    assert parse_config((tmp_path / "m" / "config.json").read_bytes()).memory is None
    assert "memorized" not in (tmp_path / "m" / "README.md").read_text("utf-8")
