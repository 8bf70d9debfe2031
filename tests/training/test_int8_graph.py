"""The int8 graph: the integers that it computes with, and that a row never depends on its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import GATES, PrecisionRecord
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import LARGEST_TABLE, build_int8_graph, quantize_columns
from charloom.runtime.onnx_graph import Arrays
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.session import initial_state
from tests.training.test_float32_graph import weights_of
from tests.training.test_model import NAMES, SHAPES


def int8_session(shape: ModelShape, weights: Arrays) -> OnnxSession:
    graph = build_int8_graph(shape, weights)
    assert graph is not None
    return OnnxSession(graph, shape)


def random_ids(shape: ModelShape, steps: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, shape.vocab_size, (steps, rows))


def test_columns_use_seven_bits_and_a_scale_each() -> None:
    matrix = np.array([[1.0, 0.0, -0.5], [-0.5, 0.0, 2.0]], dtype=np.float32)
    whole, scales = quantize_columns(matrix)
    assert whole.tolist() == [[63, 0, -16], [-32, 0, 63]]
    np.testing.assert_allclose(scales, [1 / 63, 1.0, 2 / 63], rtol=1e-6)
    assert 255 * np.abs(whole.astype(int)).max() * 2 < 2**15, "pairs of products must fit 16 bits"


def test_the_graph_does_the_arithmetic_it_says() -> None:
    """One LSTM layer, in whole numbers and float32 by hand."""
    shape = ModelShape(cell="lstm", num_layers=1, hidden_size=5, embedding_size=3, dropout=0.0, vocab_size=7)
    _, weights = weights_of(shape)
    ids = random_ids(shape, 20, 1)
    found, _ = int8_session(shape, weights).run(ids, initial_state(shape, 1))

    def product(hidden: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        whole, scales = quantize_columns(weights[name].T)
        levels = np.rint(hidden * 127).astype(np.int64)
        return np.asarray((levels @ whole.astype(np.int64)) * (scales.astype(np.float64) / 127))

    hidden = cell = np.zeros(5)
    for step, character in enumerate(ids[:, 0]):
        embedded = weights["embedding.weight"][character].astype(np.float64)
        gates = weights["recurrent.weight_ih_l0"] @ embedded + weights["recurrent.bias_ih_l0"]
        gates = gates + weights["recurrent.bias_hh_l0"] + product(hidden, "recurrent.weight_hh_l0")
        i, f, g, o = np.split(gates, 4)
        cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        hidden = np.tanh(cell) / (1 + np.exp(-o))
        logits = product(hidden, "output.weight") + weights["output.bias"]
        np.testing.assert_allclose(found[step, 0], logits, atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_int8_stays_close_to_float32(shape: ModelShape) -> None:
    _, weights = weights_of(shape)
    ids, state = random_ids(shape, 100, 4), initial_state(shape, 4)
    expected, _ = OnnxSession(build_graph(shape, weights), shape).run(ids, state)
    found, _ = int8_session(shape, weights).run(ids, state)
    assert np.abs(expected).max() > 0.5
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.5 * np.abs(expected).max(), "no row is wrong"


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_threads_change_no_bit(shape: ModelShape) -> None:
    _, weights = weights_of(shape)
    graph = build_int8_graph(shape, weights)
    assert graph is not None
    ids, state = random_ids(shape, 30, 64), initial_state(shape, 64)
    one, end = OnnxSession(graph, shape).run(ids, state)
    four, end_of_four = OnnxSession(graph, shape, threads=4).run(ids, state)
    assert np.array_equal(one, four)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(end, end_of_four, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_a_row_gives_the_same_bits_alone_in_a_batch_and_in_chunks(shape: ModelShape) -> None:
    _, weights = weights_of(shape)
    session = int8_session(shape, weights)
    ids = random_ids(shape, 60, 64)
    together, state_together = session.run(ids, initial_state(shape, 64))
    for row in (0, 5, 63):
        state, alone = initial_state(shape, 1), []
        for start, end in ((0, 1), (1, 2), (2, 40), (40, 60)):
            logits, state = session.run(ids[start:end, row : row + 1], state)
            alone.append(logits)
        assert np.array_equal(np.concatenate(alone)[:, 0], together[:, row])
        for ours, theirs in zip(state, state_together, strict=True):
            assert np.array_equal(ours[0], theirs[row])


def test_a_vocabulary_too_large_for_a_table_has_no_int8_graph() -> None:
    size = LARGEST_TABLE // (GATES["lstm"] * 1024) + 1
    shape = ModelShape(cell="lstm", num_layers=1, hidden_size=1024, embedding_size=8, dropout=0.0, vocab_size=size)
    assert build_int8_graph(shape, {}) is None


def test_int8_is_the_default_up_to_half_a_percent() -> None:
    assert PrecisionRecord(float32=2.0, int8=2.01, characters=1).int8_is_faithful
    assert PrecisionRecord(float32=2.0, int8=1.9, characters=1).int8_is_faithful
    assert not PrecisionRecord(float32=2.0, int8=2.0101, characters=1).int8_is_faithful
