"""What a unit's gates did at each character, computed from the float32 weights.

An LSTM (Gers and others, 2000): c = forget · c₋₁ + input · candidate, h = output · tanh(c). A GRU (Cho and others,
2014): h = update · h₋₁ + (1 − update) · candidate. A plain RNN has no gates.

Legend: T time, E inputs, H hidden units, G gates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelDirectory
from charloom.kernel.weights import Weights, read_weights
from charloom.runtime.activations import read_states
from charloom.runtime.session import open_session
from charloom.text.vocabulary import Ids

Values = NDArray[np.float64]


def unit_gates(directory: ModelDirectory, ids: Ids, layer: int, unit: int) -> dict[str, Values]:
    """The gates of a unit, and what they act on, after each of `ids` (T,), read from the start of a line.

    Args:
        directory: the model.
        ids: what to read.
        layer: from 0.
        unit: which of the layer.

    Returns:
        By name, (T,) each: `memory` is what was there before; nothing for a plain RNN.
    """
    shape = directory.config.model
    if shape.cell == "rnn":
        return {}
    weights = read_weights(directory)
    own = layer * shape.states_per_layer
    places = [own, own + shape.states_per_layer - 1, max(0, own - shape.states_per_layer)]
    states = read_states(open_session(directory, "float32"), directory.vocabulary, ids, places).astype(np.float64)
    hidden, memory, below = states[:-1, 0], states[:-1, 1, unit], states[1:, 2]
    rows = [gate * shape.hidden_size + unit for gate in range(4 if shape.cell == "lstm" else 3)]
    from_below = _from_below(weights, ids, layer, rows, below)
    from_before = (
        hidden @ weights[f"recurrent.weight_hh_l{layer}"][rows].T + weights[f"recurrent.bias_hh_l{layer}"][rows]
    )
    if shape.cell == "lstm":
        i, f, g, o = (from_below + from_before).T
        gates = {"input": _sigmoid(i), "forget": _sigmoid(f), "output": _sigmoid(o), "candidate": np.tanh(g)}
    else:
        reset, update = _sigmoid((from_below + from_before)[:, :2]).T
        gates = {"reset": reset, "update": update, "candidate": np.tanh(from_below[:, 2] + reset * from_before[:, 2])}
    return {**gates, "memory": memory}


def _from_below(weights: Weights, ids: Ids, layer: int, rows: list[int], below: Values) -> Values:
    """What the gates (T, G) get from the character, or from the layer below (T, H)."""
    matrix = weights[f"recurrent.weight_ih_l{layer}"][rows].astype(np.float64)
    bias = weights[f"recurrent.bias_ih_l{layer}"][rows]
    if layer:
        return np.asarray(below @ matrix.T + bias)
    embedding = weights.get("embedding.weight")
    return np.asarray((matrix.T if embedding is None else embedding @ matrix.T)[ids] + bias)


def _sigmoid(values: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-values)))
