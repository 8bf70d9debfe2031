"""A network's weights: read from `model.safetensors`, checked, and as whole numbers in the order of the engines.

Legend: V vocabulary, E embedding, H hidden units, G gates, I a layer's input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from charloom.bundle import ModelDirectory, ModelShape
from charloom.bundle.config import GATES, WEIGHTS
from charloom.errors import ModelDirectoryError

Weights = dict[str, NDArray[np.float32]]
Tensors = list[NDArray[Any] | None]
Precision = Literal["int8", "float32"]
Quantize = Callable[[NDArray[np.float32], int], tuple[NDArray[np.int8], NDArray[np.float32]]]

FIRST_LEVELS = 127
"""The largest whole number of the first layer's input matrix, which is multiplied in double."""

LEVELS = 63
"""The largest of all other matrices: pairs of products with 8-bit states then fit in 16 bits, as AVX2 needs."""


def read_weights(directory: ModelDirectory) -> Weights:
    """The float32 weights of a model directory by PyTorch's names, their checksum verified.

    Raises:
        ModelDirectoryError: missing, altered, or not those of the network that config.json describes.
    """
    try:
        weights = load(directory.read_weights())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelDirectoryError(f"{WEIGHTS} is damaged: {error}") from None
    check_weights(directory.config.model, weights)
    return weights


def check_weights(shape: ModelShape, weights: Weights) -> None:
    """Compare the tensors with what a network has.

    Raises:
        ModelDirectoryError: one is missing, or has another type or size, or is not all of finite numbers.
    """
    for name, dims in tensor_shapes(shape).items():
        found = weights.get(name)
        if found is None or found.dtype != np.float32 or found.shape != dims or not np.isfinite(found).all():
            raise ModelDirectoryError(f"{WEIGHTS} is damaged: {name} is not {dims} finite float32 numbers")


def tensor_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """The tensors of a network by PyTorch's names."""
    hidden, gates = shape.hidden_size, GATES[shape.cell] * shape.hidden_size
    expected: dict[str, tuple[int, ...]] = {}
    if shape.embedding_size:
        expected["embedding.weight"] = (shape.vocab_size, shape.embedding_size)
    for layer in range(shape.num_layers):
        expected[f"recurrent.weight_ih_l{layer}"] = (gates, hidden if layer else shape.input_size)
        expected[f"recurrent.weight_hh_l{layer}"] = (gates, hidden)
        expected[f"recurrent.bias_ih_l{layer}"] = expected[f"recurrent.bias_hh_l{layer}"] = (gates,)
    expected["output.weight"] = (shape.vocab_size, hidden)
    expected["output.bias"] = (shape.vocab_size,)
    return expected


def lay_tensors(shape: ModelShape, weights: Weights, precision: Precision, quantize: Quantize) -> Tensors:
    """The tensors in the order that engines take them, matrices as whole numbers and scales where it is int8.

    embedding (V, E) or None; of each layer weight_ih (G·H, I), its scales (G·H,), weight_hh (G·H, H), its scales,
    bias_ih and bias_hh (G·H,); output (V, H), its scales (V,), its bias (V,). Scales are None in float32.

    Raises:
        ModelDirectoryError: the weights are not this network's.
    """
    check_weights(shape, weights)
    tensors: Tensors = [weights["embedding.weight"] if shape.embedding_size else None]

    def add(name: str, levels: int = LEVELS) -> None:
        tensors.extend(quantize(weights[name], levels) if precision == "int8" else (weights[name], None))

    for layer in range(shape.num_layers):
        add(f"recurrent.weight_ih_l{layer}", LEVELS if layer else FIRST_LEVELS)
        add(f"recurrent.weight_hh_l{layer}")
        tensors += [weights[f"recurrent.bias_{kind}_l{layer}"] for kind in ("ih", "hh")]
    add("output.weight")
    tensors.append(weights["output.bias"])
    return tensors
