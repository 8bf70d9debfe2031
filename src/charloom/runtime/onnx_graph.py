"""The ONNX graph of a network: written from its weights, and recognized by its bytes.

    ids (T, B) int64, h0_in, c0_in, ... (B, H)  →  logits (T, B, V), h0_out, c0_out, ... (B, H)

A graph is a message of protocol buffers (https://onnx.ai/onnx/repo-docs/IR.html,
https://protobuf.dev/programming-guides/encoding/). All its bytes follow from the network's shape, except the weights'.
So a graph that comes with a model is compared with the one that would be written: a stranger's can differ in its
weights and in nothing else, and none is parsed before that is known.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape


def number_field(field: int, value: int) -> bytes:
    """A field that holds a whole number."""
    return _varint(field << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def bytes_field(field: int, content: bytes | str) -> bytes:
    """A field that holds bytes, a text or a message."""
    content = content.encode() if isinstance(content, str) else content
    return bytes_field_head(field, len(content)) + content


def bytes_field_head(field: int, size: int) -> bytes:
    """The head of a field of `size` bytes."""
    return _varint(field << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first, each but the last marked by its eighth bit."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


OPSET = 17
IR_VERSION = 10
FLOAT = 1  # ONNX's numbers of the types, those of TensorProto
_TYPES = {"float32": FLOAT, "uint8": 2, "int8": 3, "int64": 7}
_ATTRIBUTE_NUMBER, _ATTRIBUTE_GRAPH = 2, 5

Arrays = dict[str, NDArray[np.float32]]
Make = Callable[[Arrays], NDArray[np.generic]]
"""From a network's weights, by PyTorch's names as in `model.safetensors`, to an array of its graph."""


@dataclass(frozen=True)
class _Array:
    """The place of an array in a graph, whose values are the weights'."""

    dtype: str
    dims: tuple[int, ...]
    make: Make

    @property
    def size(self) -> int:
        return prod(self.dims) * np.dtype(self.dtype).itemsize

    def content(self, weights: Arrays) -> bytes:
        array = np.asarray(self.make(weights))
        if (array.dtype.name, array.shape) != (self.dtype, self.dims):
            raise ValueError(f"{array.dtype.name} {array.shape} for {self.dtype} {self.dims}")
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


_Parts = list[bytes | _Array]


class Graph:
    """The graph of a network of one shape, without its weights."""

    def __init__(self, parts: _Parts) -> None:
        """`GraphBuilder.graph` makes it."""
        self._parts = parts

    def filled(self, weights: Arrays) -> bytes:
        """The file's content for a network with these weights."""
        return b"".join(part if isinstance(part, bytes) else part.content(weights) for part in self._parts)

    def is_in(self, content: bytes) -> bool:
        """Whether a file holds this graph, with any weights."""
        place = 0
        for part in self._parts:
            if isinstance(part, bytes) and not content.startswith(part, place):
                return False
            place += _size(part)
        return place == len(content)

    def has_finite_weights(self, content: bytes) -> bool:
        """Whether no weight is NaN or infinite in a file that holds this graph."""
        place = 0
        for part in self._parts:
            if isinstance(part, _Array) and part.dtype == "float32":
                weights = np.frombuffer(content, dtype="<f4", count=part.size // 4, offset=place)
                if not np.isfinite(weights).all():
                    return False
            place += _size(part)
        return True


class GraphBuilder(ABC):
    """Builds the graph of a network node by node."""

    def __init__(self, shape: ModelShape) -> None:
        self._shape = shape
        self._nodes: list[bytes] = []
        self._arrays: dict[str, _Parts] = {}

    @abstractmethod
    def _network(self) -> None:
        """Add the nodes that lead from the graph's inputs to its outputs."""

    def graph(self) -> Graph:
        """The whole graph."""
        self._network()
        before, after = state_names(self._shape)
        inputs = [_value("ids", _TYPES["int64"], "T", "B"), *map(self._rows, before)]
        outputs = [_value("logits", FLOAT, "T", "B", self._shape.vocab_size), *map(self._rows, after)]
        head = number_field(1, IR_VERSION) + bytes_field(2, "charloom")
        arrays = [part for parts in self._arrays.values() for part in _message(5, parts)]
        graph: _Parts = [_join_fields(1, self._nodes) + bytes_field(2, "charloom"), *arrays]
        graph.append(_join_fields(11, inputs) + _join_fields(12, outputs))
        return Graph([head, *_message(7, graph), bytes_field(8, bytes_field(1, "") + number_field(2, OPSET))])

    def _subgraph(self, name: str, nodes: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
        return _join_fields(1, nodes) + bytes_field(2, name) + _join_fields(11, inputs) + _join_fields(12, outputs)

    def _rows(self, name: str, width: int | None = None) -> bytes:
        """Declare a float tensor (B, H), or (B, width)."""
        return _value(name, FLOAT, "B", width or self._shape.hidden_size)

    def _has(self, name: str) -> bool:
        return name in self._arrays

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an array that is the same for all weights."""
        self._arrays[name] = [_tensor(name, value.dtype.name, value.shape), value.tobytes()]
        return name

    def _weights(self, name: str, dims: tuple[int, ...], make: Make, dtype: str = "float32") -> str:
        """Add an array that is made of the weights."""
        self._arrays[name] = [_tensor(name, dtype, dims), _Array(dtype, dims, make)]
        return name

    def _nodes_of(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | bytes
    ) -> None:
        named = [
            bytes_field(1, name)
            + (number_field(3, value) if isinstance(value, int) else bytes_field(6, value))
            + number_field(20, _ATTRIBUTE_NUMBER if isinstance(value, int) else _ATTRIBUTE_GRAPH)
            for name, value in sorted(attributes.items())
        ]
        ends = _join_fields(1, inputs) + _join_fields(2, outputs)
        self._nodes.append(ends + bytes_field(4, operator) + _join_fields(5, named))

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int | bytes) -> str:
        self._nodes_of(operator, inputs, [output], **attributes)
        return output


def state_names(shape: ModelShape) -> tuple[list[str], list[str]]:
    """The graph's names for the state before and after, in order: h0_in, c0_in, h1_in, ... and h0_out, ..."""
    letters = "hc"[: shape.states_per_layer]
    names = [f"{letter}{layer}" for layer in range(shape.num_layers) for letter in letters]
    return [f"{name}_in" for name in names], [f"{name}_out" for name in names]


def _join_fields(field: int, contents: Sequence[bytes | str]) -> bytes:
    return b"".join(bytes_field(field, content) for content in contents)


def _size(part: bytes | _Array) -> int:
    return len(part) if isinstance(part, bytes) else part.size


def _message(field: int, parts: _Parts) -> _Parts:
    return [bytes_field_head(field, sum(map(_size, parts))), *parts]


def _tensor(name: str, dtype: str, dims: tuple[int, ...]) -> bytes:
    """What comes before an array's own bytes."""
    size = prod(dims) * np.dtype(dtype).itemsize
    head = b"".join(number_field(1, dim) for dim in dims) + number_field(2, _TYPES[dtype])
    return head + bytes_field(8, name) + bytes_field_head(9, size)


def _value(name: str, kind: int, *dims: str | int) -> bytes:
    """Declare a tensor that goes into a graph or comes out of it."""
    sizes = [number_field(1, dim) if isinstance(dim, int) else bytes_field(2, dim) for dim in dims]
    tensor = number_field(1, kind) + bytes_field(2, _join_fields(1, sizes))
    return bytes_field(1, name) + bytes_field(2, bytes_field(1, tensor))
