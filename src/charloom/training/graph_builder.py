"""What the float32 and the int8 graph have in common: inputs, outputs, and how nodes are put together.

    ids (T, B) int64, h0_in, c0_in, ... (B, H)  →  logits (T, B, V), h0_out, c0_out, ... (B, H)

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from charloom.bundle import ModelShape
from charloom.runtime.session import state_names

OPSET = 17
IR_VERSION = 10

Arrays = dict[str, NDArray[np.float32]]


class GraphBuilder(ABC):
    """Builds the graph of a network from its weights, by PyTorch's names as in `model.safetensors`."""

    def __init__(self, shape: ModelShape, weights: Arrays) -> None:
        """Prepare to build the graph of one network."""
        self._shape = shape
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    @abstractmethod
    def _network(self) -> None:
        """Add the nodes that lead from the graph's inputs to its outputs."""

    def build(self) -> bytes:
        """The whole graph, checked and serialized."""
        self._network()
        model = helper.make_model(
            self._graph(),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="charloom",
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content

    def _graph(self) -> Any:
        inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["T", "B"])]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["T", "B", self._shape.vocab_size])]
        inputs += [self._rows(name) for name in state_names(self._shape, "in")]
        outputs += [self._rows(name) for name in state_names(self._shape, "out")]
        return helper.make_graph(self._nodes, "charloom", inputs, outputs, list(self._constants.values()))

    def _rows(self, name: str, width: int | None = None) -> Any:
        """Declare a float tensor (B, H), or (B, width)."""
        batch_width: list[str | int | None] = ["B", width or self._shape.hidden_size]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, batch_width)

    def _has_constant(self, name: str) -> bool:
        return name in self._constants

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _nodes_of(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes_of(operator, inputs, [output], **attributes)
        return output
