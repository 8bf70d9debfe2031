from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.bundle import best_evaluation, evaluations, read_history, read_unfinished
from charloom.bundle.history import learning_curve
from charloom.training.history import History


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_round_trip_of_samples_with_every_kind_of_line_end(path: Path) -> None:
    history = History(path, 0)
    records = [{"step": 1, "sample": "a\u2028b\x85c\u2029d\x0be\x0cf\x1cg\r\nh"}, {"step": 2, "sample": "i"}]
    for record in records:
        history.add(record)
    assert list(read_history(path)) == records


def test_going_on_drops_what_came_after(path: Path) -> None:
    history = History(path, 0)
    for step in range(5):
        history.add({"step": step})
    History(path, 2)
    assert [record["step"] for record in read_history(path)] == [0, 1, 2]


def test_an_evaluation_has_the_training_figures_before_it(path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"step": 5, "train_loss": 3.0, "learning_rate": 0.1, "characters_per_second": 7},
        {"step": 6, "epoch": 0.5, "seconds": 2.0, "validation_loss": 2.5, "bits_per_char": 3.6, "protocol": "cold-60"},
        {"step": 10, "train_loss": 2.0, "learning_rate": 0.2, "characters_per_second": 8},
        {"step": 10, "validation_loss": 2.4},
        {"step": 20, "validation_loss": 2.6},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    history = evaluations(read_history(path))
    assert [(record.step, record.train_loss, record.learning_rate) for record in history] == [
        (6, 3.0, 0.1),
        (10, 2.0, 0.2),
        (20, 2.0, 0.2),
    ]
    assert (history[0].epoch, history[0].seconds, history[0].protocol) == (0.5, 2.0, "cold-60")
    assert history[1].bits_per_char is None
    assert best_evaluation(history) is history[1]


def test_a_curve_is_in_bits_a_character_and_thinned_to_its_ends() -> None:
    nats = [4 - place / 500 for place in range(1_000)]
    records: list[dict[str, Any]] = [{"step": 5 * place, "train_loss": loss} for place, loss in enumerate(nats)]
    records += [{"step": 2_500, "validation_loss": 3.0}, {"step": 5_000, "validation_loss": 2.0, "bits_per_char": 5.0}]
    curve = learning_curve(records)  # of bytes: a character is 1.73 of them
    assert curve.validation == ((2_500, 7.5), (5_000, 5.0))
    assert len(curve.training) == 100
    assert (curve.training[0], curve.training[-1]) == ((0, 10.0), (4_995, round(nats[-1] * 2.5, 4)))
    assert set(curve.training) <= {(5 * place, round(loss * 2.5, 4)) for place, loss in enumerate(nats)}
    assert learning_curve([{"step": 1, "train_loss": math.log(8)}]).training == ((1, 3.0),)


@pytest.mark.parametrize("value", [None, "1", True, math.nan, math.inf, 10**400, [1.0]])
def test_a_curve_leaves_out_what_is_no_loss(value: object) -> None:
    curve = learning_curve([{"step": 1, "train_loss": value, "validation_loss": value, "bits_per_char": value}])
    assert (curve.training, curve.validation) == ((), ())
    far = {"step": 1, "validation_loss": 1e-300, "bits_per_char": 1e299, "train_loss": 1e299}
    assert all(math.isfinite(bits) for line in asdict(learning_curve([far])).values() for _, bits in line)


HOSTILE = [
    b"",
    b"\xff\xfe\x00",
    b"not json\n{}\n[]\n1\nnull\n",
    b'{"step": true, "validation_loss": 1}\n{"step": -1, "validation_loss": 1}\n{"step": 1.5}\n',
    b'{"step": 99999999999999999999999999, "validation_loss": 1}\n',
    b'{"step": ' + b"9" * 5000 + b"}\n",
    b"[" * 100_000 + b"\n",
    b'{"step": 1, "sample": "' + b"x" * 3_000_000 + b'"}\n',
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_lines_that_are_no_records_are_passed_over(path: Path, content: bytes) -> None:
    path.write_bytes(content + b'\n{"step": 7, "validation_loss": 2}\n')
    assert [record.step for record in evaluations(read_history(path))] == [7]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"2"', "true", "null", "[1]", "9" * 400, "1e308"])
def test_what_is_no_number_is_not_recorded(path: Path, value: str) -> None:
    path.write_text(f'{{"step": 1, "validation_loss": {value}, "epoch": {value}, "protocol": {value}}}\n')
    (record,) = evaluations(read_history(path))
    assert record.validation_loss is None
    assert record.epoch is None
    assert best_evaluation([record]) is None


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for record in evaluations(read_history(path)):
        assert all(math.isfinite(v) for v in vars(record).values() if isinstance(v, float))


def test_no_unfinished_run(tmp_path: Path) -> None:
    assert read_unfinished(tmp_path) is None
    (tmp_path / "training").write_text("a file")
    assert read_unfinished(tmp_path) is None


def test_an_unfinished_run(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/run.json").write_text('{"steps": 50, "corpus": {"sources": ["a b.txt"]}}')
    (tmp_path / "training/checkpoint-000000000012.safetensors").write_bytes(b"")
    (tmp_path / "metrics.jsonl").write_text('{"step": 9}\n')
    run = read_unfinished(tmp_path)
    assert run is not None
    assert (run.step, run.steps, run.sources) == (12, 50, ["a b.txt"])


@pytest.mark.parametrize(
    "record", [b"", b"[]", b"{", b"[" * 100_000, b'{"steps": true, "corpus": {"sources": 3}}', b'{"corpus": []}']
)
def test_a_damaged_record_of_the_run_is_left_out(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/run.json").write_bytes(record)
    run = read_unfinished(tmp_path)
    assert run is not None
    assert (run.step, run.steps, run.sources) == (0, None, [])
