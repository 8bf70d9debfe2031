"""A model's weights as a browser takes them: whole numbers with scales, all tensors in one piece of bytes.

The matrices that multiply are stored by output, (O, I), with a scale for each output; the characters' vectors, (V, E)
or, one-hot, (V, G·H), with a scale for each column. Whole numbers go from -127 to 127: the int8 graph's seven bits
spare processors an overflow that does not exist here. Biases stay float32.
Legend: V vocabulary, E embedding, H hidden units, G gates, I inputs, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from charloom.bundle import ModelDirectory, ModelShape
from charloom.bundle.config import GATES, WEIGHTS
from charloom.errors import ModelDirectoryError
from charloom.runtime.quantizing import EIGHT_BITS, quantized_columns

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class PackedTensor:
    """Where a tensor lies among the bytes: `length` numbers of a `kind`, from byte `offset` on."""

    name: str
    kind: Literal["int8", "float32"]
    offset: int
    length: int


@dataclass(frozen=True)
class PackedWeights:
    """All tensors, one after another, little-endian, float32 first so that they stand at multiples of four."""

    content: bytes
    tensors: tuple[PackedTensor, ...]


def read_arrays(directory: ModelDirectory) -> Arrays:
    """The float32 weights of a model directory by PyTorch's names, their checksum verified.

    Raises:
        ModelDirectoryError: missing, altered, or not those of the network that config.json describes.
    """
    try:
        arrays = load(directory.read_weights())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelDirectoryError(f"{WEIGHTS} is damaged: {error}") from None
    for name, shape in _expected(directory.config.model).items():
        found = arrays.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
            raise ModelDirectoryError(f"{WEIGHTS} is damaged: {name} is not {shape} finite float32 numbers")
    return arrays


def pack_weights(shape: ModelShape, weights: Arrays) -> PackedWeights:
    """Quantize and lay out the weights of a network, given by PyTorch's names."""
    arrays: dict[str, NDArray[Any]] = {}

    def put(name: str, matrix: NDArray[np.float32], *, by_output: bool) -> None:
        """A matrix (I, O) and its scales (O,)."""
        whole, arrays[f"{name}.scales"] = quantized_columns(matrix, EIGHT_BITS)
        arrays[name] = whole.T if by_output else whole

    first = weights["recurrent.weight_ih_l0"].T  # of one-hot characters, what each gives the gates
    put("characters", weights["embedding.weight"] if shape.embedding_size else first, by_output=False)
    for layer in range(shape.num_layers):
        if layer or shape.embedding_size:
            put(f"below{layer}", weights[f"recurrent.weight_ih_l{layer}"].T, by_output=True)
        put(f"recurrent{layer}", weights[f"recurrent.weight_hh_l{layer}"].T, by_output=True)
        arrays |= _biases(shape, weights, layer)
    put("output", weights["output.weight"].T, by_output=True)
    arrays["output_bias"] = weights["output.bias"]
    return _packed(arrays)


def _biases(shape: ModelShape, weights: Arrays, layer: int) -> Arrays:
    """Both biases in one, (G·H,); a GRU's are apart, for one of them is inside its product."""
    below, recurrent = (weights[f"recurrent.bias_{kind}_l{layer}"] for kind in ("ih", "hh"))
    if shape.cell == "gru":
        return {f"bias{layer}": below, f"recurrent_bias{layer}": recurrent}
    return {f"bias{layer}": below + recurrent}


def _packed(arrays: dict[str, NDArray[Any]]) -> PackedWeights:
    content = bytearray()
    tensors = []
    for name, array in sorted(arrays.items(), key=lambda item: item[1].dtype == np.int8):
        kind: Literal["int8", "float32"] = "int8" if array.dtype == np.int8 else "float32"
        tensors.append(PackedTensor(name, kind, len(content), array.size))
        content += array.astype("i1" if kind == "int8" else "<f4").tobytes()
    return PackedWeights(bytes(content), tuple(tensors))


def _expected(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """The tensors of a network by PyTorch's names."""
    hidden, gates = shape.hidden_size, GATES[shape.cell] * shape.hidden_size
    expected: dict[str, tuple[int, ...]] = {
        "output.weight": (shape.vocab_size, hidden),
        "output.bias": (shape.vocab_size,),
    }
    if shape.embedding_size:
        expected["embedding.weight"] = (shape.vocab_size, shape.embedding_size)
    for layer in range(shape.num_layers):
        expected[f"recurrent.weight_ih_l{layer}"] = (gates, hidden if layer else shape.input_size)
        expected[f"recurrent.weight_hh_l{layer}"] = (gates, hidden)
        expected[f"recurrent.bias_ih_l{layer}"] = expected[f"recurrent.bias_hh_l{layer}"] = (gates,)
    return expected
