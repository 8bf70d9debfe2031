"""The kernel beside what runs a model today, ONNX Runtime's graphs, and beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.kernel.network import Network
from charloom.kernel.reference import ReferenceNetwork
from charloom.runtime.float32_graph import build_graph
from charloom.runtime.int8_graph import build_int8_graph
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.session import initial_state, negative_log_likelihoods
from charloom.settings import Cell
from charloom.training.model import CharacterModel
from tests.kernel.networks import CELLS, MICRO_KERNELS, make_ids, make_shape, make_state, make_weights


def loss(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> float:
    return float(negative_log_likelihoods(logits[:-1], ids[1:]).mean())


def shapes(cell: Cell) -> list[ModelShape]:
    return [make_shape(cell, 2, 96, 65, 32), make_shape(cell, 1, 33, 40)]


@pytest.mark.parametrize("cell", CELLS)
def test_int8_loses_as_much_as_the_int8_graph(cell: Cell) -> None:
    for shape in shapes(cell):
        weights, ids = make_weights(shape), make_ids(shape, 400, 3)
        state = initial_state(shape, 3)
        exact, _ = OnnxSession(build_graph(shape, weights), shape).run(ids, state)
        graph = build_int8_graph(shape, weights)
        assert graph is not None
        theirs, _ = OnnxSession(graph, shape).run(ids, state)
        ours, _ = Network(shape, weights).run(ids, state)
        assert abs(loss(ours, ids) - loss(exact, ids)) < 0.001 * loss(exact, ids)
        assert abs(loss(ours, ids) - loss(theirs, ids)) < 0.001 * loss(exact, ids)
        ours_off, theirs_off = np.abs(ours - exact).mean(), np.abs(theirs - exact).mean()
        assert ours_off < 1.3 * theirs_off  # whole numbers lose no more here than there


@pytest.mark.parametrize("micro", MICRO_KERNELS)
@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_the_float32_graph(cell: Cell, micro: str) -> None:
    for shape in shapes(cell):
        weights, ids, state = make_weights(shape), make_ids(shape, 100, 5), make_state(shape, 5)
        theirs, theirs_after = OnnxSession(build_graph(shape, weights), shape).run(ids, state)
        ours, after = Network(shape, weights, "float32", micro=micro).run(ids, state)
        assert np.abs(ours - theirs).max() < 1e-4
        assert max(np.abs(a - b).max() for a, b in zip(after, theirs_after, strict=True)) < 1e-4
        numpys, _ = ReferenceNetwork(shape, weights, "float32").run(ids, state)
        assert np.abs(ours - numpys).max() < 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_pytorch(cell: Cell) -> None:
    for shape in shapes(cell):
        model = CharacterModel(shape).eval()
        weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        ids = make_ids(shape, 100, 5)
        with torch.no_grad():
            theirs, _ = model(torch.from_numpy(ids), model.initial_state(5))
        ours, _ = Network(shape, weights, "float32").run(ids, initial_state(shape, 5))
        assert np.abs(ours - theirs.numpy()).max() < 1e-4
