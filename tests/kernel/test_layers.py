"""The passes of a recurrent layer in training; against PyTorch's they are tested in tests/training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charloom.errors import CharloomError, UsageError
from charloom.kernel import layers
from charloom.kernel.layers import LayerKernel, open_layers
from charloom.kernel.native import address, kernel
from charloom.settings import Cell
from tests.kernel.layers import Floats, Layer

CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
MICROS = list(kernel().micro_kernels())
SIZES = [(1, 1, 1), (3, 2, 5), (5, 9, 24), (4, 6, 131), (2, 17, 300), (3, 4, 64)]


def same(found: list[Floats], expected: list[Floats]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_micro_kernels_agree(cell: Cell) -> None:
    for steps, rows, hidden in SIZES:
        layer = Layer.random(cell, steps, rows, hidden)
        expected = layer.run(LayerKernel(cell, hidden, micro="portable"))
        assert all(np.isfinite(part).all() for part in expected)
        for micro in MICROS:
            for one, other in zip(layer.run(LayerKernel(cell, hidden, micro=micro)), expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * np.abs(other).max())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("micro", MICROS)
def test_rows_do_not_depend_on_their_company_or_on_threads(
    micro: str, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_WORK", 1)
    for hidden in (7, 150):
        layer, own = Layer.random(cell, 6, 23, hidden), LayerKernel(cell, hidden, micro=micro)
        whole = layer.run(own)
        for threads in (1, 2, 3, 8):
            assert same(layer.run(own, threads), whole)
        for rows in (slice(0, 1), slice(3, 10), slice(5, 23)):
            assert same(layer.of_rows(rows).run(own), [part[rows] for part in whole])


@pytest.mark.parametrize("cell", CELLS)
def test_a_table_of_what_symbols_give(cell: Cell) -> None:
    layer, own = Layer.random(cell, 6, 5, 30), LayerKernel(cell, 30)
    table = np.random.default_rng(1).standard_normal((9, layer.below.shape[2])).astype(np.float32)
    ids = np.random.default_rng(2).integers(0, 9, (6, 5))
    by_table = replace(layer, below=table, ids=ids)
    assert same(by_table.run(own), replace(layer, below=table[ids]).run(own))
    for wrong in (-1, 9, 2**40, -(2**63)):
        ids[4, 3] = wrong
        with pytest.raises(CharloomError, match="no symbol"):
            by_table.run(own)


@pytest.mark.parametrize("micro", MICROS)
def test_curves_are_exact_to_the_last_digits(micro: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 5001), np.geomspace(1e-30, 1, 300), [0, 89, -89, 3e38, -3e38]])
    x = x.astype(np.float32)[None, :, None]
    zero = np.zeros((1, 1), np.float32)
    hidden = np.zeros((2, x.size, 1), np.float32)
    LayerKernel("rnn", 1, micro=micro).forward(zero, x, None, None, hidden, None, None, None)
    np.testing.assert_allclose(hidden[1], np.tanh(x[0].astype(np.float64)), rtol=4e-7, atol=1e-37)
    gates, cells, inner = np.zeros((1, x.size, 4), np.float32), np.zeros_like(hidden), np.zeros_like(x)
    below = np.repeat(x, 4, axis=2)
    LayerKernel("lstm", 1, micro=micro).forward(zero.repeat(4, 0), below, None, None, hidden, cells, gates, inner)
    expected = 1 / (1 + np.exp(-np.maximum(x[0, :, 0].astype(np.float64), -40)))
    at = x[0, :, 0] > -40
    np.testing.assert_allclose(gates[0, at, 0], expected[at], rtol=1e-6)
    assert (gates[0, ~at, 0] < 1e-17).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("micro", MICROS)
def test_nan_is_not_lost(micro: str, cell: Cell) -> None:
    layer = Layer.random(cell, 4, 3, 20)
    layer.below[1, 2, 7] = np.nan
    states, gradients, of_first, *_ = layer.run(LayerKernel(cell, 20, micro=micro))
    assert np.isnan(states[2, 2:, 7]).all()
    assert np.isnan(gradients[2, 0]).any()
    assert np.isnan(of_first[2]).any()
    assert np.isfinite(states[:2]).all()
    assert np.isfinite(gradients[:2]).all()


def test_sizes_are_refused_before_anything_is_read() -> None:
    own = LayerKernel("lstm", 8)
    layer = Layer.random("lstm", 3, 2, 8)
    for wrong in (
        replace(layer, weights=layer.weights[:-1].copy()),
        replace(layer, below=layer.below[:-1].copy()),
        replace(layer, below=layer.below[..., :-1].copy()),
        replace(layer, bias=layer.first[0].copy()),
        replace(layer, below=layer.below[0, 0, :5].copy(), ids=np.zeros((3, 2), np.int64)),
        replace(layer, ids=np.zeros((3, 1), np.int64)),
    ):
        with pytest.raises(CharloomError, match="not as large"):
            wrong.run(own)
    with pytest.raises(CharloomError, match="gaps"):
        replace(layer, below=layer.below[:, ::-1]).run(own)
    with pytest.raises(CharloomError, match="not float32"):
        replace(layer, weights=layer.weights.astype(np.float64)).run(own)


@pytest.mark.parametrize(
    ("described", "refusal"),
    [
        ((3, 8, 1, 1, 0), -1),
        ((-1, 8, 1, 1, 0), -1),
        ((0, 0, 1, 1, 0), -1),
        ((0, 16_385, 1, 1, 0), -1),
        ((0, 8, -1, 1, 0), -4),
        ((0, 8, 2**24 + 1, 1, 0), -4),
        ((0, 8, 1, -1, 0), -4),
        ((0, 8, 1, 2**20 + 1, 0), -4),
        ((0, 8, 1, 1, 2), -4),
        ((0, 8, 1, 1, -1), -4),
        ((0, 8, 1, 1, 1), -5),
    ],
)
def test_layers_out_of_bounds(described: tuple[int, ...], refusal: int) -> None:
    layer = np.array(described, dtype=layers.LAYER)
    assert kernel().layer_panel_bytes(address(layer), 0, kernel().choose("portable")) == refusal
    assert kernel().layer_work_bytes(address(layer), 1, kernel().choose("portable"), 0) == refusal
    largest = np.array((2, 16_384, 2**24, 2**20, 0), dtype=layers.LAYER)
    assert kernel().layer_panel_bytes(address(largest), 1, kernel().choose("portable")) > 0
    assert kernel().layer_work_bytes(address(largest), 1, kernel().choose("portable"), 2**20) > 0
    assert kernel().layer_work_bytes(address(largest), 1, kernel().choose("portable"), 2**20 + 1) == -4
    assert kernel().layer_panel_bytes(address(largest), 2, kernel().choose("portable")) == -4
    assert kernel().layer_panel_bytes(address(largest), 0, 99) == -5


def test_which_layers_the_kernel_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARLOOM_KERNEL", "portable")
    assert open_layers("gru", 8) is not None
    monkeypatch.setenv("CHARLOOM_KERNEL", "numpy")
    assert open_layers("gru", 8) is None
    monkeypatch.setenv("CHARLOOM_KERNEL", "abacus")
    for bfloat16 in (False, True):
        with pytest.raises(UsageError, match="abacus"):
            open_layers("gru", 8, bfloat16=bfloat16)

    def fail() -> None:
        raise CharloomError("no compiler")

    monkeypatch.setattr(layers, "kernel", fail)
    with pytest.raises(CharloomError, match="no compiler"):
        open_layers("gru", 8)
    monkeypatch.delenv("CHARLOOM_KERNEL")
    assert open_layers("gru", 8) is None
    monkeypatch.undo()
    monkeypatch.setattr(layers, "_FAST", ())
    assert open_layers("gru", 8) is None  # PyTorch's own layers are faster there


def test_memory_is_used_again() -> None:
    memory = layers.Memory()
    first = memory.take(100, 4, 30)
    first[:] = 1
    assert address(first) % 64 == 0
    memory.give(first, None)
    shorter = memory.take(99, 4, 30)
    assert address(shorter) == address(first)
    assert address(memory.take(100, 4, 30)) != address(first)
    memory.give(shorter)
    again = memory.take(100, 4, 30)
    assert address(again) == address(first)
    again[:] = 2
    assert memory.take(0, 5).shape == (0, 5)
