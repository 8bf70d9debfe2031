"""The trained network as an ONNX graph, built node by node: one graph that steps, prefills and scores.

    ids (T, B) int64, h0_in, c0_in, ... (B, H)  →  logits (T, B, V), h0_out, c0_out, ... (B, H)

ONNX orders the gates of its cells differently from PyTorch; the weights are rearranged here, once.
Legend: T time, B rows, V vocabulary, E embedding, I a layer's input, H hidden units, G gates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import GATES
from charloom.runtime.onnx_graph import Arrays, Graph, GraphBuilder, Make

# ONNX's operator, and where in PyTorch's gate order each of ONNX's gates is.
_OPERATORS: dict[str, tuple[str, list[int]]] = {
    "rnn": ("RNN", [0]),
    "lstm": ("LSTM", [0, 3, 1, 2]),  # PyTorch input, forget, cell, output → ONNX input, output, forget, cell
    "gru": ("GRU", [1, 0, 2]),  # PyTorch reset, update, new → ONNX update, reset, new
}


def float32_graph(shape: ModelShape) -> Graph:
    """The float32 graph of a network, without its weights."""
    return _FloatBuilder(shape).graph()


def build_graph(shape: ModelShape, weights: Arrays) -> bytes:
    """The float32 graph of a network.

    Args:
        shape: the network.
        weights: by PyTorch's names, as in `model.safetensors`.
    """
    return float32_graph(shape).filled(weights)


class _FloatBuilder(GraphBuilder):
    def _network(self) -> None:
        below = self._input()
        for layer in range(self._shape.num_layers):
            below = self._layer(layer, below)
        self._output(below)

    def _input(self) -> str:
        """Ids (T, B) → embedded (T, B, E), or one-hot (T, B, V)."""
        shape = self._shape
        if shape.embedding_size:
            dims = (shape.vocab_size, shape.embedding_size)
            table = self._weights("embedding", dims, lambda weights: weights["embedding.weight"])
            return self._node("Gather", [table, "ids"], "embedded", axis=0)
        depth = self._constant("depth", np.array(shape.vocab_size, dtype=np.int64))
        off_on = self._constant("off_on", np.array([0, 1], dtype=np.float32))
        return self._node("OneHot", ["ids", depth, off_on], "embedded", axis=-1)

    def _layer(self, layer: int, below: str) -> str:
        """One recurrent layer: (T, B, I) → (T, B, H), its state read from and written to the graph's."""
        operator, order = _OPERATORS[self._shape.cell]
        inputs = [below, *self._recurrent_weights(layer, order), ""]
        outputs = [f"y{layer}"]
        letters = "hc"[: self._shape.states_per_layer]
        axis_0 = self._axes(0)
        for letter in letters:
            inputs.append(self._node("Unsqueeze", [f"{letter}{layer}_in", axis_0], f"{letter}{layer}_before"))
            outputs.append(f"{letter}{layer}_after")
        attributes = {"hidden_size": self._shape.hidden_size}
        if self._shape.cell == "gru":
            attributes["linear_before_reset"] = 1  # PyTorch's variant of the GRU
        self._nodes_of(operator, inputs, outputs, **attributes)
        for letter in letters:
            self._node("Squeeze", [f"{letter}{layer}_after", axis_0], f"{letter}{layer}_out")
        return self._node("Squeeze", [f"y{layer}", self._axes(1)], f"hidden{layer}")

    def _recurrent_weights(self, layer: int, order: list[int]) -> list[str]:
        """The names of W (1, G·H, I), R (1, G·H, H) and the two biases side by side (1, 2·G·H)."""
        hidden = self._shape.hidden_size
        below, rows = hidden if layer else self._shape.input_size, GATES[self._shape.cell] * hidden

        def arranged(*names: str) -> Make:
            return lambda weights: np.concatenate([_gates(weights, f"{name}_l{layer}", order) for name in names])[None]

        return [
            self._weights(f"W{layer}", (1, rows, below), arranged("weight_ih")),
            self._weights(f"R{layer}", (1, rows, hidden), arranged("weight_hh")),
            self._weights(f"B{layer}", (1, 2 * rows), arranged("bias_ih", "bias_hh")),
        ]

    def _output(self, hidden: str) -> None:
        vocab_size = self._shape.vocab_size
        dims = (self._shape.hidden_size, vocab_size)
        matrix = self._weights("output_weight", dims, lambda weights: weights["output.weight"].T)
        bias = self._weights("output_bias", (vocab_size,), lambda weights: weights["output.bias"])
        self._node("Add", [self._node("MatMul", [hidden, matrix], "scores"), bias], "logits")

    def _axes(self, axis: int) -> str:
        name = f"axis_{axis}"
        return name if self._has(name) else self._constant(name, np.array([axis], dtype=np.int64))


def _gates(weights: Arrays, name: str, order: list[int]) -> NDArray[np.float32]:
    parts = np.split(weights[f"recurrent.{name}"], len(order))
    return np.concatenate([parts[gate] for gate in order])
