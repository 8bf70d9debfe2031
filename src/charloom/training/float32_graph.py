"""The trained network as an ONNX graph, built node by node: one graph that steps, prefills and scores.

    ids (T, B) int64, h0_in, c0_in, ... (B, H)  →  logits (T, B, V), h0_out, c0_out, ... (B, H)

ONNX orders the gates of its cells differently from PyTorch; the weights are rearranged here, once.
Legend: T time, B rows, V vocabulary, E embedding, H hidden units, L layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.errors import TrainingError
from charloom.runtime.session import OnnxSession, Session, initial_state
from charloom.text.vocabulary import Ids
from charloom.training.graph_builder import Arrays, GraphBuilder

TOLERANCE = 1e-4  # largest allowed difference of a logit from PyTorch's
_STRETCH = 32  # characters before the graph begins anew from PyTorch's state

# ONNX's operator, and where in PyTorch's gate order each of ONNX's gates stands.
_OPERATORS: dict[str, tuple[str, list[int]]] = {
    "rnn": ("RNN", [0]),
    "lstm": ("LSTM", [0, 3, 1, 2]),  # PyTorch input, forget, cell, output → ONNX input, output, forget, cell
    "gru": ("GRU", [1, 0, 2]),  # PyTorch reset, update, new → ONNX update, reset, new
}


def build_graph(shape: ModelShape, weights: Arrays) -> bytes:
    """The float32 graph of a network.

    Args:
        shape: the network.
        weights: by PyTorch's names, as in `model.safetensors`.
    """
    return _FloatBuilder(shape, weights).build()


class _FloatBuilder(GraphBuilder):
    def _network(self) -> None:
        below = self._input()
        for layer in range(self._shape.num_layers):
            below = self._layer(layer, below)
        self._output(below)

    def _input(self) -> str:
        """Ids (T, B) → embedded (T, B, E), or one-hot (T, B, V)."""
        if self._shape.embedding_size:
            table = self._constant("embedding", self._weights["embedding.weight"])
            return self._node("Gather", [table, "ids"], "embedded", axis=0)
        depth = self._constant("depth", np.array(self._shape.vocab_size, dtype=np.int64))
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
        attributes: dict[str, Any] = {"hidden_size": self._shape.hidden_size}
        if self._shape.cell == "gru":
            attributes["linear_before_reset"] = 1  # PyTorch's variant of the GRU
        self._nodes_of(operator, inputs, outputs, **attributes)
        for letter in letters:
            self._node("Squeeze", [f"{letter}{layer}_after", axis_0], f"{letter}{layer}_out")
        return self._node("Squeeze", [f"y{layer}", self._axes(1)], f"hidden{layer}")

    def _recurrent_weights(self, layer: int, order: list[int]) -> list[str]:
        """The names of W (1, G·H, I), R (1, G·H, H) and the two biases side by side (1, 2·G·H)."""

        def gates(name: str) -> NDArray[np.float32]:
            parts = np.split(self._weights[f"recurrent.{name}_l{layer}"], len(order))
            return np.concatenate([parts[gate] for gate in order])[None]

        bias = np.concatenate([gates("bias_ih"), gates("bias_hh")], axis=1)
        return [
            self._constant(f"W{layer}", gates("weight_ih")),
            self._constant(f"R{layer}", gates("weight_hh")),
            self._constant(f"B{layer}", bias),
        ]

    def _output(self, hidden: str) -> None:
        matrix = self._constant("output_weight", np.ascontiguousarray(self._weights["output.weight"].T))
        bias = self._constant("output_bias", self._weights["output.bias"])
        self._node("Add", [self._node("MatMul", [hidden, matrix], "scores"), bias], "logits")

    def _axes(self, axis: int) -> str:
        name = f"axis_{axis}"
        return name if self._has_constant(name) else self._constant(name, np.array([axis], dtype=np.int64))


def verify_graph(graph: bytes, reference: Session, ids: Ids) -> float:
    """Run the graph and the model it was made from on the same text, ids (T, B).

    The graph begins each stretch from the model's own state: a network can be chaotic, and rounding, which differs
    from one processor to another, would then grow without end.

    Returns:
        The largest difference between their logits.

    Raises:
        TrainingError: it is above `TOLERANCE`.
    """
    session = OnnxSession(graph, reference.shape)
    state = initial_state(reference.shape, ids.shape[1])
    difference = 0.0
    for start in range(0, len(ids), _STRETCH):
        stretch = ids[start : start + _STRETCH]
        found, _ = session.run(stretch, state)
        expected, state = reference.run(stretch, state)
        difference = float(np.maximum(difference, np.abs(found - expected).max()))  # NaN stays NaN
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the exported graph differs from the trained model by {difference:.1e} (at most {TOLERANCE:.0e}): "
            f"the model was not saved; please report this"
        )
    return difference
