"""The network with int8 weights and activations, as one ONNX graph with the float32 graph's inputs and outputs.

Hidden states of all three cells lie in [-1, 1], so they are quantized with one fixed scale, 1/127, and a row's
numbers never depend on its neighbours. Weights have a scale for each column. Integer sums are exact, so that a
text read at once, in chunks, alone or among others gives the same bits.

Weights take 7 of their 8 bits: processors without dot-product instructions (AVX2) add pairs of products in 16 bits,
and 255 · 127 · 2 would not fit there while 255 · 63 · 2 does. So every processor finds the same sums.

The first layer's input product and its biases are a float32 table, looked up by character.
Legend: T time, B rows, V vocabulary, E embedding, H hidden units, G gates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import GATES
from charloom.runtime.onnx_graph import FLOAT, Arrays, Graph, GraphBuilder, Make

SEVEN_BITS = 63


def quantize_columns(
    matrix: NDArray[np.float32], levels: int = SEVEN_BITS
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix (I, O) as whole numbers from -levels to levels and a scale for each column (O,)."""
    scales = np.abs(matrix).max(axis=0).astype(np.float64) / levels
    scales[scales == 0] = 1.0
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)


LARGEST_TABLE = 1 << 24  # numbers (64 MiB): with more characters than that allows there is no int8 graph
_ACTIVATION_LEVELS = 127
_ZERO_POINT = 128


def int8_graph(shape: ModelShape) -> Graph:
    """The int8 graph of a network, without its weights."""
    return _Int8Builder(shape).graph()


def build_int8_graph(shape: ModelShape, weights: Arrays) -> bytes | None:
    """The int8 graph of a network; None where its table of characters would be too large.

    Args:
        shape: the network.
        weights: by PyTorch's names, as in `model.safetensors`.
    """
    if shape.vocab_size * GATES[shape.cell] * shape.hidden_size > LARGEST_TABLE:
        return None
    return int8_graph(shape).filled(weights)


class _Int8Builder(GraphBuilder):
    def _network(self) -> None:
        shape = self._shape
        gates = GATES[shape.cell] * shape.hidden_size
        self._constant("step", np.array(1 / _ACTIVATION_LEVELS, dtype=np.float32))
        self._constant("zero", np.array(_ZERO_POINT, dtype=np.uint8))
        table = self._weights("table", (shape.vocab_size, gates), lambda weights: _table(shape, weights))
        hidden = self._layer(0, self._node("Gather", [table, "ids"], "inputs0", axis=0))
        for layer in range(1, shape.num_layers):
            product = self._product(self._quantized(hidden), f"recurrent.weight_ih_l{layer}", gates, f"W{layer}")
            bias = self._weights(f"bias{layer}", (gates,), _bias_of(shape, layer))
            hidden = self._layer(layer, self._node("Add", [product, bias], f"inputs{layer}"))
        scores = self._product(self._quantized(hidden), "output.weight", shape.vocab_size, "output")
        bias = self._weights("output_bias", (shape.vocab_size,), lambda weights: weights["output.bias"])
        self._node("Add", [scores, bias], "logits")

    def _quantized(self, values: str) -> str:
        return self._node("QuantizeLinear", [values, "step", "zero"], f"{values}_q")

    def _product(self, quantized: str, matrix: str, width: int, name: str) -> str:
        """A quantized tensor (…, H) times the transpose of one of the weights (width, H): float32 (…, width)."""

        def columns(weights: Arrays) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
            return quantize_columns(weights[matrix].T)

        whole = self._weights(
            f"{name}_weight", (self._shape.hidden_size, width), lambda weights: columns(weights)[0], "int8"
        )
        scale = self._weights(
            f"{name}_scale", (width,), lambda weights: columns(weights)[1] / np.float32(_ACTIVATION_LEVELS)
        )
        sums = self._node("MatMulInteger", [quantized, whole, "zero"], f"{name}_sums")
        return self._node("Mul", [self._node("Cast", [sums], f"{name}_float", to=FLOAT), scale], name)

    def _layer(self, layer: int, inputs: str) -> str:
        """One recurrent layer over time: what reaches its gates (T, B, G·H) → its hidden states (T, B, H)."""
        outer, self._nodes = self._nodes, []
        states = [f"{letter}{layer}" for letter in "hc"[: self._shape.states_per_layer]]
        width = GATES[self._shape.cell] * self._shape.hidden_size
        gates = self._product(self._quantized(states[0]), f"recurrent.weight_hh_l{layer}", width, f"R{layer}")
        after = {"rnn": self._rnn, "lstm": self._lstm, "gru": self._gru}[self._shape.cell](layer, gates)
        self._node("Identity", [after[0]], f"y{layer}")
        body = self._subgraph(
            f"layer{layer}",
            self._nodes,
            [*map(self._rows, states), self._rows(f"x{layer}", width)],
            list(map(self._rows, [*after, f"y{layer}"])),
        )
        self._nodes = outer
        before = [f"{state}_in" for state in states]
        results = [*(f"{state}_out" for state in states), f"hidden{layer}"]
        self._nodes_of("Scan", [*before, inputs], results, body=body, num_scan_inputs=1)
        return f"hidden{layer}"

    def _rnn(self, layer: int, gates: str) -> list[str]:
        total = self._node("Add", [gates, f"x{layer}"], f"z{layer}")
        return [self._node("Tanh", [total], f"h{layer}_next")]

    def _lstm(self, layer: int, gates: str) -> list[str]:
        """Hochreiter and Schmidhuber, 1997, with a forget gate: c' = f·c + i·g, h' = o·tanh(c')."""
        total = self._node("Add", [gates, f"x{layer}"], f"z{layer}")
        i, f, g, o = self._split(total, [f"{gate}{layer}" for gate in ("input", "forget", "cell", "output")])
        i, f, o = [self._node("Sigmoid", [gate], f"{gate}_open") for gate in (i, f, o)]
        kept = self._node("Mul", [f, f"c{layer}"], f"kept{layer}")
        added = self._node("Mul", [i, self._node("Tanh", [g], f"{g}_value")], f"added{layer}")
        cell = self._node("Add", [kept, added], f"c{layer}_next")
        shown = self._node("Tanh", [cell], f"shown{layer}")
        return [self._node("Mul", [o, shown], f"h{layer}_next"), cell]

    def _gru(self, layer: int, gates: str) -> list[str]:
        """Cho et al., 2014, as PyTorch has it: n = tanh(xₙ + r·(hₙ + b)), h' = n + z·(h - n)."""
        names = [f"{gate}{layer}" for gate in ("reset", "update", "new")]
        from_hidden = self._split(gates, [f"{name}_hidden" for name in names])
        from_input = self._split(f"x{layer}", [f"{name}_input" for name in names])
        r, z = (
            self._node("Sigmoid", [self._node("Add", [ours, theirs], f"{name}_sum")], f"{name}_open")
            for name, ours, theirs in zip(names[:2], from_hidden[:2], from_input[:2], strict=True)
        )
        size = self._shape.hidden_size
        bias = self._weights(
            f"new_bias{layer}", (size,), lambda weights: weights[f"recurrent.bias_hh_l{layer}"][2 * size :]
        )
        hidden = self._node("Add", [from_hidden[2], bias], f"biased{layer}")
        inner = self._node("Add", [from_input[2], self._node("Mul", [r, hidden], f"gated{layer}")], f"new_sum{layer}")
        new = self._node("Tanh", [inner], f"new_value{layer}")
        step = self._node("Mul", [z, self._node("Sub", [f"h{layer}", new], f"older{layer}")], f"back{layer}")
        return [self._node("Add", [new, step], f"h{layer}_next")]

    def _split(self, values: str, names: list[str]) -> list[str]:
        self._nodes_of("Split", [values], names, axis=-1)
        return names


def _table(shape: ModelShape, weights: Arrays) -> NDArray[np.float32]:
    """What each character adds to the first layer's gates: (V, G·H)."""
    weight = weights["recurrent.weight_ih_l0"].astype(np.float64)
    product = weight.T  # of one-hot rows
    if shape.embedding_size:
        product = weights["embedding.weight"].astype(np.float64) @ weight.T
    return (product + _bias(shape, weights, 0)).astype(np.float32)


def _bias(shape: ModelShape, weights: Arrays, layer: int) -> NDArray[np.float32]:
    """Both biases in one; of a GRU's new gate the input's alone, for the other is inside its product."""
    recurrent = weights[f"recurrent.bias_hh_l{layer}"].copy()
    if shape.cell == "gru":
        recurrent[2 * shape.hidden_size :] = 0
    return weights[f"recurrent.bias_ih_l{layer}"] + recurrent


def _bias_of(shape: ModelShape, layer: int) -> Make:
    return lambda weights: _bias(shape, weights, layer)
