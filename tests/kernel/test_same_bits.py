"""Int8: the kernel and the numpy reference give the same bits, on every micro-kernel, in chunks and in any company."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.bundle import ModelShape
from charloom.kernel import Network
from charloom.kernel.native import kernel, sampling_rows
from charloom.kernel.reference import ReferenceNetwork, draw, quantize
from charloom.settings import Cell, SamplingSettings
from tests.kernel.networks import CELLS, MICRO_KERNELS, make_ids, make_shape, make_state, make_weights, same_bits

SIZES = [(16, 65, 8), (7, 2, 0), (33, 17, 5), (130, 40, 0)]  # hidden units, symbols, embedding


def check_run(shape: ModelShape, steps: int, rows: int) -> None:
    weights, ids, state = make_weights(shape), make_ids(shape, steps, rows), make_state(shape, rows)
    logits, after = ReferenceNetwork(shape, weights).run(ids, state)
    for micro in MICRO_KERNELS:
        ours, ours_after = Network(shape, weights, micro=micro).run(ids, state)
        assert same_bits((ours,), (logits,)), micro
        assert same_bits(ours_after, after), micro


@pytest.mark.parametrize(("cell", "layers", "size"), list(product(CELLS, (1, 2, 3), SIZES)))
def test_all_cells_layers_and_sizes(cell: Cell, layers: int, size: tuple[int, int, int]) -> None:
    check_run(make_shape(cell, layers, *size), steps=5, rows=3)


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (300, 1), (65, 2), (3, 64), (2, 65), (9, 31), (1, 130), (0, 3)])
@pytest.mark.parametrize("cell", CELLS)
def test_any_rows_and_steps(cell: Cell, steps: int, rows: int) -> None:
    check_run(make_shape(cell, 2, 24, 30, 6), steps, rows)


@pytest.mark.parametrize("embedding", [0, 12])
def test_chinese_vocabularies(embedding: int) -> None:
    check_run(make_shape("lstm", 1, 20, 7000, embedding), steps=3, rows=5)


def test_a_first_layer_that_has_no_table() -> None:
    shape = make_shape("gru", 2, 256, 7000, 16)  # 7,000 × 768 numbers are too many
    table = 4 * 7000 * 768
    assert make_network(shape)._model.nbytes < table
    check_run(shape, steps=3, rows=3)


@settings(max_examples=60, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    layers=st.integers(1, 3),
    hidden=st.integers(1, 70),
    symbols=st.integers(2, 90),
    embedding=st.integers(0, 20),
    steps=st.integers(0, 40),
    rows=st.integers(0, 66),
)
def test_any_shape(cell: Cell, layers: int, hidden: int, symbols: int, embedding: int, steps: int, rows: int) -> None:
    check_run(make_shape(cell, layers, hidden, symbols, embedding), steps, rows)


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("cell", CELLS)
def test_chunks_company_and_threads_change_nothing(cell: Cell, precision: str) -> None:
    shape = make_shape(cell, 2, 40, 50, 6)
    weights, ids, state = make_weights(shape), make_ids(shape, 90, 70), make_state(shape, 70)
    network = Network(shape, weights, "int8" if precision == "int8" else "float32")
    logits, after = network.run(ids, state)
    first, between = network.run(ids[:37], state)
    second, in_chunks = network.run(ids[37:], between)
    assert same_bits((np.concatenate([first, second]), *in_chunks), (logits, *after))
    alone, alone_after = network.run(ids[:, 66:67], tuple(part[66:67] for part in state))
    assert same_bits((alone,), (logits[:, 66:67].copy(),))
    assert same_bits(alone_after, tuple(part[66:67].copy() for part in after))
    threaded, threaded_after = Network(shape, weights, network.precision, threads=3).run(ids, state)
    assert same_bits((threaded, *threaded_after), (logits, *after))
    stepper = network.stepper(state)
    stepped = [stepper.step(row).copy() for row in ids[:5]]
    assert same_bits((np.stack(stepped),), (logits[:5].copy(),))


@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("first", [0, 1, 30, 89, 90, 200])
def test_only_the_last_logits(first: int, rows: int) -> None:
    network = make_network(make_shape("lstm", 2, 24, 30))
    ids, state = make_ids(network.shape, 90, rows), make_state(network.shape, rows)
    logits, after = network.run(ids, state)
    last, last_after = network.run(ids, state, first)
    assert same_bits((last, *last_after), (logits[first:].copy(), *after))


def test_a_state_that_is_no_number_reaches_no_other_row() -> None:
    network = make_network(make_shape("lstm", 2, 24, 30))
    ids, state = make_ids(network.shape, 5, 3), make_state(network.shape, 3)
    logits, _ = network.run(ids, state)
    for value in (np.nan, np.inf, -np.inf, 1e38, -5.0):
        damaged = tuple(part.copy() for part in state)
        for part in damaged:
            part[1] = value
        theirs, _ = network.run(ids, damaged)
        assert same_bits((theirs[:, [0, 2]],), (logits[:, [0, 2]],))


SETTINGS = [
    SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    for temperature, top_k, top_p, min_p in product(
        (0, 1e-300, 0.5, 1, 40), (0, 1, 5, 10_000), (1, 0.9, 0.2), (0, 0.1, 1)
    )
]


@pytest.mark.parametrize("unknown", [None, 0, 12])
def test_draws(unknown: int | None) -> None:
    generator = np.random.default_rng(3)
    for number, sampling in enumerate(SETTINGS):
        logits = generator.normal(size=37).astype(np.float32) * 3
        if number % 3 == 0:
            logits = np.rint(logits)  # equals
        row = sampling_rows([(sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k)])
        for uniform in (0.0, 0.3, 0.77, 1 - 2**-53):
            ours = kernel().draw(logits, row, -1 if unknown is None else unknown, uniform)
            assert ours == draw(logits, sampling, uniform, unknown), (sampling, uniform)
            assert ours != unknown


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_no_draw_without_numbers(damage: float) -> None:
    logits = np.zeros(5, dtype=np.float32)
    logits[3] = damage
    row = sampling_rows([(1, 1, 0, 0)])
    assert kernel().draw(logits, row, -1, 0.5) == 5 == draw(logits, SamplingSettings(temperature=1), 0.5)


@pytest.mark.parametrize(("cell", "rows", "symbols"), [("rnn", 1, 65), ("gru", 70, 40), ("lstm", 3, 7000)])
def test_seeded_texts(cell: Cell, rows: int, symbols: int) -> None:
    shape = make_shape(cell, 2, 30, symbols, 8)
    weights, state = make_weights(shape), make_state(shape, rows)
    ids, uniforms = make_ids(shape, 1, rows)[0], np.random.default_rng(1).random((25, rows))
    sampling = [SETTINGS[row % len(SETTINGS)] for row in range(rows)]
    written, after = ReferenceNetwork(shape, weights).write(ids, state, uniforms, sampling, 0)
    for micro in MICRO_KERNELS:
        ours, ours_after = Network(shape, weights, micro=micro).write(ids, state, uniforms, sampling, 0)
        assert np.array_equal(ours, written)
        assert same_bits(ours_after, after)


def test_writing_pauses_and_goes_on() -> None:
    shape = make_shape("lstm", 2, 24, 30)
    network, state = make_network(shape), make_state(shape, 2)
    uniforms, sampling = np.random.default_rng(1).random((60, 2)), [SamplingSettings(temperature=1)] * 2
    whole, after = network.write(np.array([1, 2]), state, uniforms, sampling)
    pause = np.zeros(30, dtype=bool)
    pause[[3, 7]] = True
    ids, pieces, position = np.array([1, 2]), [], 0
    while position < 60:
        piece, state = network.write(ids, state, uniforms[position:], sampling, pause=pause)
        assert not pause[piece[:-1]].any()
        pieces.append(piece)
        ids, position = piece[-1], position + len(piece)
    assert len(pieces) > 3
    assert np.array_equal(np.concatenate(pieces), whole)
    assert same_bits(state, after)


@pytest.mark.parametrize("levels", [63, 127])
def test_weights_as_whole_numbers(levels: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(50, 33)).astype(np.float32)
    matrix[3], matrix[4] = 0, 1e-45
    matrix[5] = np.linspace(-1, 1, 33) * levels
    ours, theirs = kernel().quantize(matrix, levels), quantize(matrix, levels)
    assert np.array_equal(ours[0], theirs[0])
    assert same_bits((ours[1],), (theirs[1],))


def make_network(shape: ModelShape) -> Network:
    return Network(shape, make_weights(shape))
