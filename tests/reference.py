"""The network's forward step from the textbook, in float64 numpy: nothing here knows torch or ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape

Array = NDArray[Any]
Weights = Mapping[str, NDArray[np.floating[Any]]]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def rnn_step(x: Array, h: Array, w: Array, u: Array, b: Array, c: Array) -> Array:
    """Elman (1990): h' = tanh(W x + b + U h + c)."""
    return np.asarray(np.tanh(x @ w.T + b + h @ u.T + c))


def lstm_step(x: Array, h: Array, cell: Array, w: Array, u: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Hochreiter and Schmidhuber (1997) with Gers' forget gate; gates input, forget, candidate, output."""
    size = h.shape[1]
    scores = x @ w.T + b + h @ u.T + c
    entry, forget, output = (sigmoid(scores[:, n * size : (n + 1) * size]) for n in (0, 1, 3))
    candidate = np.tanh(scores[:, 2 * size : 3 * size])
    new_cell = forget * cell + entry * candidate
    return output * np.tanh(new_cell), new_cell


def gru_step(x: Array, h: Array, w: Array, u: Array, b: Array, c: Array) -> Array:
    """Cho et al. (2014), the reset applied after the product; gates reset, update, candidate."""
    size = h.shape[1]
    below, before = x @ w.T + b, h @ u.T + c
    reset = sigmoid(below[:, :size] + before[:, :size])
    update = sigmoid(below[:, size : 2 * size] + before[:, size : 2 * size])
    candidate = np.tanh(below[:, 2 * size :] + reset * before[:, 2 * size :])
    return np.asarray((1 - update) * candidate + update * h)


def forward(
    shape: ModelShape, weights: Weights, ids: NDArray[np.int64], state: list[Array]
) -> tuple[Array, list[Array]]:
    """Ids (T, B) and a state, hidden (and cell) layer by layer, to logits (T, B, V) and the state after."""
    values = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    state = list(state)
    logits = []
    for row in ids:
        if shape.embedding_size:
            x = values["embedding.weight"][row]
        else:
            x = np.zeros((len(row), shape.vocab_size))
            x[np.arange(len(row)), row] = 1
        for layer in range(shape.num_layers):
            w, u, b, c = (
                values[f"recurrent.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            if shape.cell == "lstm":
                x, cell = lstm_step(x, state[2 * layer], state[2 * layer + 1], w, u, b, c)
                state[2 * layer : 2 * layer + 2] = [x, cell]
            else:
                x = (rnn_step if shape.cell == "rnn" else gru_step)(x, state[layer], w, u, b, c)
                state[layer] = x
        logits.append(x @ values["output.weight"].T + values["output.bias"])
    return np.stack(logits), state
