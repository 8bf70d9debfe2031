"""Networks of random weights, and states and ids for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.kernel.native import kernel
from charloom.kernel.network import State
from charloom.kernel.weights import Weights, tensor_shapes
from charloom.settings import Cell

CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
MICRO_KERNELS = list(kernel().micro_kernels())


def make_shape(cell: Cell, layers: int, hidden: int, symbols: int, embedding: int = 0) -> ModelShape:
    return ModelShape(
        cell=cell, num_layers=layers, hidden_size=hidden, embedding_size=embedding, dropout=0, vocab_size=symbols
    )


def make_weights(shape: ModelShape, seed: int = 0) -> Weights:
    generator = np.random.default_rng(seed)
    return {
        name: (generator.normal(size=dims) * (0.3 if len(dims) < 2 else dims[1] ** -0.5)).astype(np.float32)
        for name, dims in tensor_shapes(shape).items()
    }


def make_state(shape: ModelShape, rows: int, seed: int = 0) -> State:
    generator = np.random.default_rng(seed)
    count = shape.num_layers * shape.states_per_layer
    return tuple(generator.uniform(-1, 1, (rows, shape.hidden_size)).astype(np.float32) for _ in range(count))


def make_ids(shape: ModelShape, steps: int, rows: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, shape.vocab_size, (steps, rows))


def same_bits(one: State, other: State) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )
