"""Int8: the kernel and the numpy reference give the same bits, on every micro-kernel, in chunks and in any company."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.bundle import ModelShape
from charloom.errors import CharloomError
from charloom.kernel.native import kernel, sampling_rows
from charloom.kernel.network import Network
from charloom.kernel.reference import ReferenceNetwork, nats_of, quantize
from charloom.kernel.sampling import Sampler, draw
from charloom.kernel.weights import Precision
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
    last, last_after = network.read(ids, state)
    assert same_bits((last, *last_after), (logits[-1].copy(), *after))


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize(
    ("layers", "threads", "rows", "steps"), [(2, 2, 1, 700), (3, 2, 3, 300), (3, 4, 1, 257), (5, 3, 9, 90)]
)
def test_layers_shared_among_threads(precision: Precision, layers: int, threads: int, rows: int, steps: int) -> None:
    shape = make_shape("lstm", layers, 24, 30)
    weights, ids, targets = make_weights(shape), make_ids(shape, steps, rows), make_ids(shape, steps, rows, 1)
    one, several = Network(shape, weights, precision), Network(shape, weights, precision, threads=threads)
    state = make_state(shape, rows)
    for first in (0, 5, steps - 1):
        logits, after = one.run(ids, state, first)
        shared, shared_after = several.run(ids, state, first)
        assert same_bits((shared, *shared_after), (logits, *after))
    nats, after = one.nats(ids, targets, state)
    shared_nats, shared_after = several.nats(ids, targets, state)
    assert nats.tobytes() == shared_nats.tobytes()
    assert same_bits(shared_after, after)
    ids[steps // 2] = 30
    with pytest.raises(CharloomError, match="an id is that of no symbol"):
        several.run(ids, state)


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
@pytest.mark.parametrize("masked", [False, True])
def test_draws(unknown: int | None, masked: bool) -> None:
    generator = np.random.default_rng(3)
    for number, sampling in enumerate(SETTINGS):
        logits = generator.normal(size=37).astype(np.float32) * 3
        if number % 3 == 0:
            logits = np.rint(logits)  # equals
        allowed = generator.random(37) < 0.3 if masked else None
        if allowed is not None:
            allowed[number % 12 + 1] = True
        row, sampler = sampling_rows([sampling]), Sampler([sampling], unknown)
        for uniform in (0.0, 0.3, 0.77, 1 - 2**-53):
            ours = kernel().draw(logits, row, -1 if unknown is None else unknown, uniform, allowed)
            mask = None if allowed is None else allowed[None]
            (theirs,) = draw(sampler.weights(logits[None], mask), np.array([uniform]))
            assert ours == theirs, (sampling, uniform)
            assert ours != unknown
            assert allowed is None or allowed[ours]


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_no_draw_without_numbers(damage: float) -> None:
    logits = np.zeros(5, dtype=np.float32)
    logits[3] = damage
    sampling = SamplingSettings(temperature=1)
    weights = Sampler([sampling], None).weights(logits[None])
    assert kernel().draw(logits, sampling_rows([sampling]), -1, 0.5) == 5 == draw(weights, np.array([0.5]))


@pytest.mark.parametrize(("cell", "rows", "symbols"), [("rnn", 1, 65), ("gru", 70, 40), ("lstm", 3, 7000)])
def test_seeded_texts(cell: Cell, rows: int, symbols: int) -> None:
    shape = make_shape(cell, 2, 30, symbols, 8)
    weights, state = make_weights(shape), make_state(shape, rows)
    ids, uniforms = make_ids(shape, 1, rows)[0], np.random.default_rng(1).random((25, rows))
    sampling = [SETTINGS[row % len(SETTINGS)] for row in range(rows)]
    allowed = np.random.default_rng(2).random((rows, symbols)) < 0.5
    allowed[:, 1] = True
    for mask in (None, allowed):
        written, after = ReferenceNetwork(shape, weights).write(ids, state, uniforms, sampling, 0, mask)
        for micro, threads in [*product(MICRO_KERNELS, [1]), (None, 3)]:
            network = Network(shape, weights, micro=micro, threads=threads)
            ours, ours_after = network.write(ids, state, uniforms, sampling, 0, mask)
            assert np.array_equal(ours, written)
            assert same_bits(ours_after, after)


def test_writing_in_pieces() -> None:
    shape = make_shape("lstm", 2, 24, 30)
    network, state = make_network(shape), make_state(shape, 2)
    uniforms, sampling = np.random.default_rng(1).random((60, 2)), [SamplingSettings(temperature=1)] * 2
    whole, after = network.write(np.array([1, 2]), state, uniforms, sampling)
    first, state = network.write(np.array([1, 2]), state, uniforms[:23], sampling)
    second, state = network.write(first[-1], state, uniforms[23:], sampling)
    assert np.array_equal(np.concatenate([first, second]), whole)
    assert same_bits(state, after)


def test_a_row_without_numbers_is_lost_and_no_other() -> None:
    shape = make_shape("lstm", 2, 24, 30)
    network, state = make_network(shape), make_state(shape, 3)
    uniforms, sampling = np.random.default_rng(1).random((9, 3)), [SamplingSettings(temperature=1)] * 3
    whole, _ = network.write(np.array([1, 2, 3]), state, uniforms, sampling)
    weights = make_weights(shape)
    weights["output.bias"][:] = 3e38
    overflowing = Network(shape, weights).write(np.array([1, 2, 3]), state, uniforms, sampling)
    assert np.array_equal(ReferenceNetwork(shape, weights).write(np.array([1, 2, 3]), state, uniforms, sampling)[0],
                          overflowing[0])  # fmt: skip
    for part in state:
        part[1] = np.nan
    damaged, _ = network.write(np.array([1, 2, 3]), state, uniforms, sampling)
    assert np.array_equal(damaged[:, [0, 2]], whole[:, [0, 2]])


@pytest.mark.parametrize(
    ("cell", "steps", "rows", "symbols"), [("rnn", 70, 1, 65), ("gru", 3, 70, 2), ("lstm", 4, 3, 7000)]
)
def test_nats(cell: Cell, steps: int, rows: int, symbols: int) -> None:
    shape = make_shape(cell, 2, 30, symbols, 8)
    weights, state = make_weights(shape), make_state(shape, rows)
    ids, targets = make_ids(shape, steps, rows), make_ids(shape, steps, rows, 1)
    nats, after = ReferenceNetwork(shape, weights).nats(ids, targets, state)
    for micro, threads in [*product(MICRO_KERNELS, [1]), (None, 3)]:
        ours, ours_after = Network(shape, weights, micro=micro, threads=threads).nats(ids, targets, state)
        assert same_bits(ours_after, after)
        assert ours.tobytes() == nats.tobytes(), micro
    logits = Network(shape, weights).run(ids, state)[0].astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    plain = np.log(np.exp(shifted).sum(axis=-1)) - np.take_along_axis(shifted, targets[..., None], axis=-1)[..., 0]
    assert np.abs(nats - plain).max() < 1e-14 * max(1, plain.max())


def test_nats_without_numbers() -> None:
    logits = np.zeros((1, 2, 4), dtype=np.float32)
    logits[0, 0, 3] = np.inf
    assert np.isnan(nats_of(logits, np.zeros((1, 2), dtype=np.int64))).tolist() == [[True, False]]
    shape = make_shape("rnn", 1, 8, 4)
    weights = make_weights(shape)
    weights["output.bias"][1], weights["output.weight"][1] = 3e38, 3e38
    network, reference = Network(shape, weights, "float32"), ReferenceNetwork(shape, weights, "float32")
    ids, state = make_ids(shape, 5, 3), make_state(shape, 3)
    assert np.array_equal(np.isnan(network.nats(ids, ids, state)[0]), np.isnan(reference.nats(ids, ids, state)[0]))


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
