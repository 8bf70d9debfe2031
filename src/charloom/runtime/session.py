"""A network that can be stepped: ids and state in, logits and state out.

Legend: T time, B batch (rows), V vocabulary, H hidden units, L layers.

The state is explicit: a tuple of float32 arrays of shape (B, H), layer by layer; an LSTM has two a layer,
hidden then cell, the other cells one. All zeros is the state before any text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import CONFIG, GRAPH
from charloom.errors import ModelDirectoryError
from charloom.text.vocabulary import Ids

State = tuple[NDArray[np.float32], ...]
Logits = NDArray[np.float32]


class Session(Protocol):
    """What generation and evaluation need of a network; training has one of its own."""

    shape: ModelShape

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B) from a state; return logits (T, B, V) and the state after the last one."""
        ...


def initial_state(shape: ModelShape, batch: int) -> State:
    """The state before any text: zeros, (B, H) for each of the network's states."""
    count = shape.num_layers * shape.states_per_layer
    return tuple(np.zeros((batch, shape.hidden_size), dtype=np.float32) for _ in range(count))


def state_names(shape: ModelShape, suffix: str) -> list[str]:
    """The graph's names for the state, in order: h0_in, c0_in, h1_in, ... or the same with _out."""
    letters = "hc"[: shape.states_per_layer]
    return [f"{letter}{layer}_{suffix}" for layer in range(shape.num_layers) for letter in letters]


class OnnxSession:
    """A graph of a model directory, float32 or int8, run by ONNX Runtime."""

    def __init__(self, graph: bytes, shape: ModelShape, threads: int = 1, name: str = GRAPH) -> None:
        """Load a graph.

        Args:
            graph: the content of `model.onnx` or `model.int8.onnx`.
            shape: what config.json says the network is; the graph must agree.
            threads: processor threads for one run.
            name: the file, for errors.

        Raises:
            ModelDirectoryError: not a graph, or not the one that `shape` describes.
        """
        self.shape = shape
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning thread burns a core between steps for nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Our graphs hold their own weights: one that names another file is hostile, and finds none here.
        nowhere = str(Path(os.devnull) / "none")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nowhere)
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
            reason = str(error).splitlines()[0][:200]
            raise ModelDirectoryError(f"{name} cannot be loaded: {reason}") from None
        self._inputs = ["ids", *state_names(shape, "in")]
        self._outputs = ["logits", *state_names(shape, "out")]
        if not self._fits():
            raise ModelDirectoryError(f"{name} is not the network that {CONFIG} describes")

    def _fits(self) -> bool:
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        fits = list(inputs) == self._inputs and list(outputs) == self._outputs
        if fits:
            hidden = [inputs[name].shape[-1] for name in self._inputs[1:]]
            fits = set(hidden) == {self.shape.hidden_size}
            fits = fits and outputs["logits"].shape[-1] == self.shape.vocab_size
        return fits

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        feeds: dict[str, NDArray[Any]] = dict(zip(self._inputs, (ids.astype(np.int64), *state), strict=True))
        logits, *after = self._session.run(self._outputs, feeds)
        return logits, tuple(after)
