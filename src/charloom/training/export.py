"""The trained network as an ONNX graph, built node by node: one graph that steps, prefills and scores.

    ids (T, B) int64, h0_in, c0_in, ... (B, H)  →  logits (T, B, V), h0_out, c0_out, ... (B, H)

ONNX orders the gates of its cells differently from PyTorch; the weights are rearranged here, once.
Legend: T time, B rows, V vocabulary, E embedding, H hidden units, L layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from charloom.bundle import ModelShape
from charloom.errors import TrainingError
from charloom.runtime.session import OnnxSession, Session, initial_state, state_names
from charloom.text.vocabulary import Ids

OPSET = 17
IR_VERSION = 10
TOLERANCE = 1e-4  # largest allowed difference of a logit from PyTorch's

Arrays = dict[str, NDArray[np.float32]]

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
    builder = _Builder(shape, weights)
    model = helper.make_model(
        builder.graph(),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="charloom",
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Builder:
    def __init__(self, shape: ModelShape, weights: Arrays) -> None:
        self._shape = shape
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def graph(self) -> Any:
        below = self._input()
        for layer in range(self._shape.num_layers):
            below = self._layer(layer, below)
        self._output(below)
        batch_hidden: list[str | int | None] = ["B", self._shape.hidden_size]
        inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["T", "B"])]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["T", "B", self._shape.vocab_size])]
        for suffix, values in (("in", inputs), ("out", outputs)):
            values += [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, batch_hidden)
                for name in state_names(self._shape, suffix)
            ]
        return helper.make_graph(self._nodes, "charloom", inputs, outputs, self._constants)

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
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
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
        if all(constant.name != name for constant in self._constants):
            self._constant(name, np.array([axis], dtype=np.int64))
        return name

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def verify_graph(graph: bytes, reference: Session, ids: Ids) -> float:
    """Run the graph and the model it was made from on the same text, ids (T, B).

    Returns:
        The largest difference between their logits.

    Raises:
        TrainingError: it is above `TOLERANCE`.
    """
    shape = reference.shape
    state = initial_state(shape, ids.shape[1])
    expected, _ = reference.run(ids, state)
    found, _ = OnnxSession(graph, shape).run(ids, state)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the exported graph differs from the trained model by {difference:.1e} (at most {TOLERANCE:.0e}): "
            f"the model was not saved; please report this"
        )
    return difference
