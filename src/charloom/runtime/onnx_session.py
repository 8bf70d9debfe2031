"""An exported graph, run by ONNX Runtime: to see that it is the network it was made from.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import CONFIG, GRAPH, STEP_GRAPH
from charloom.errors import MissingExtraError, ModelDirectoryError
from charloom.runtime.float32_graph import float32_graph
from charloom.runtime.int8_graph import int8_graph
from charloom.runtime.onnx_graph import state_names
from charloom.runtime.session import Logits, Session, State, initial_state, no_number
from charloom.text.vocabulary import Ids


def has_onnx_runtime() -> bool:
    """Whether ONNX Runtime is installed, which checks the graphs that are written."""
    try:
        _onnx_runtime()
    except MissingExtraError:
        return False
    return True


def _onnx_runtime() -> Any:
    """ONNX Runtime, which reads the variable when it is imported.

    Without it, it leaves a device id and a database in the user's cache folder and sends events to Microsoft. Its own
    switch, disable_telemetry_events(), comes after both are written.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("checking an ONNX graph", "onnx") from error
    return onnxruntime


class OnnxSession(Session):
    """A graph of a model directory, float32 or int8, run by ONNX Runtime."""

    def __init__(self, graph: bytes, shape: ModelShape, threads: int = 1, name: str = GRAPH) -> None:
        """Load a graph.

        Args:
            graph: the content of `model.onnx` or `model.int8.onnx`.
            shape: what config.json says the network is; the graph must agree.
            threads: processor threads for one run.
            name: the file, for errors.
        """
        self.shape = shape
        _check_written_by_us(graph, shape, name)
        onnxruntime = _onnx_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning thread burns a core between steps for nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
            reason = str(error).splitlines()[0][:200]
            raise ModelDirectoryError(f"{name} cannot be loaded: {reason}") from None
        before, after = state_names(shape)
        self._inputs, self._outputs = ["ids", *before], ["logits", *after]

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        feeds: dict[str, NDArray[Any]] = dict(zip(self._inputs, (ids.astype(np.int64), *state), strict=True))
        logits, *after = self._session.run(self._outputs, feeds)
        return logits, tuple(after)


def check_graph(content: bytes, shape: ModelShape, name: str = GRAPH) -> None:
    """See that a graph is the network's; where ONNX Runtime is installed, load it and step it once."""
    if not has_onnx_runtime():
        _check_written_by_us(content, shape, name)
        return
    session = OnnxSession(content, shape, name=name)
    logits, _ = session.run(np.zeros((1, 1), dtype=np.int64), initial_state(shape, 1))
    if not np.isfinite(logits).all():
        raise ModelDirectoryError(f"{name}: {no_number()}")


def _check_written_by_us(content: bytes, shape: ModelShape, name: str) -> None:
    """Refuse a graph before ONNX Runtime sees it: one of other operators could run for ever, or take all memory."""
    kinds = (int8_graph, float32_graph) if name == STEP_GRAPH else (float32_graph, int8_graph)
    graph = next((graph for kind in kinds if (graph := kind(shape)).is_in(content)), None)
    if graph is None:
        raise ModelDirectoryError(
            f"{name} is not the network that {CONFIG} describes, written by charloom: copy the model again or retrain"
        )
    if not graph.has_finite_weights(content):
        raise ModelDirectoryError(f"{name} is damaged: not all of its weights are numbers; train the model again")
