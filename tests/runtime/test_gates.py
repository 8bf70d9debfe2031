"""A unit's gates are those by which the network computed its value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import charloom
from charloom.bundle import open_model_directory
from charloom.runtime.gates import unit_gates

SHAPES = [
    {"cell": "lstm", "num_layers": 2, "embedding_size": 6},
    {"cell": "gru", "num_layers": 2, "embedding_size": 6},
    {"cell": "lstm", "num_layers": 1, "embedding_size": 0},
    {"cell": "gru", "num_layers": 1, "embedding_size": 0},
]


@pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: f"{shape['cell']}-{shape['num_layers']}-{shape['embedding_size']}"
)
def test_gates_give_the_units_value(shape: dict[str, object], small_text: Path, tmp_path: Path) -> None:
    options = {"hidden_size": 12, "batch_size": 4, "bptt": 16, "steps": 20, "learning_rate": 0.02, "threads": 1}
    charloom.train(small_text, tmp_path / "model", device="cpu", **options, **shape)  # type: ignore[arg-type]
    model = charloom.load(tmp_path / "model", precision="float32")
    text, unit = "The first statement\n is this.", 5
    ids = model.vocabulary.encode(text)
    for layer in range(model.config.model.num_layers):
        gates = unit_gates(open_model_directory(tmp_path / "model"), ids, layer, unit)
        value = model.activations(text, layer=layer, units=[unit]).values[:, 0]
        if shape["cell"] == "lstm":
            memory = gates["forget"] * gates["memory"] + gates["input"] * gates["candidate"]
            expected = gates["output"] * np.tanh(memory)
            assert gates["memory"][1:] == pytest.approx(memory[:-1], abs=1e-5)
        else:
            expected = gates["update"] * gates["memory"] + (1 - gates["update"]) * gates["candidate"]
        assert value == pytest.approx(expected, abs=1e-5)
        of_nothing = unit_gates(open_model_directory(tmp_path / "model"), ids[:0], layer, unit)
        assert {name: len(values) for name, values in of_nothing.items()} == dict.fromkeys(gates, 0)


def test_a_plain_rnn_has_none(small_text: Path, tmp_path: Path) -> None:
    options = {"hidden_size": 8, "batch_size": 4, "bptt": 16, "steps": 4, "threads": 1}
    charloom.train(small_text, tmp_path / "model", cell="rnn", device="cpu", **options)  # type: ignore[arg-type]
    directory = open_model_directory(tmp_path / "model")
    assert unit_gates(directory, directory.vocabulary.encode("abc"), 0, 1) == {}
