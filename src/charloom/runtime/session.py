"""A network that can be stepped: ids and state in, logits and state out.

Legend: T time, B batch (rows), V vocabulary, H hidden units, L layers.

The state is explicit: a tuple of float32 arrays of shape (B, H), layer by layer; an LSTM has two a layer,
hidden then cell, the other cells one. All zeros is the state before any text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.bundle.config import CONFIG, GRAPH, STEP_GRAPH
from charloom.errors import ModelDirectoryError
from charloom.runtime.float32_graph import float32_graph
from charloom.runtime.int8_graph import int8_graph
from charloom.runtime.onnx_graph import state_names
from charloom.text.vocabulary import Ids

State = tuple[NDArray[np.float32], ...]
Logits = NDArray[np.float32]

LOGITS_LIMIT = 1 << 23
"""Logits held at a time, 32 MiB of float32: whoever reads much at once cuts it so that there are no more."""


def no_number() -> ModelDirectoryError:
    """The error of a network whose answer is NaN or infinite."""
    return ModelDirectoryError("the model gives no number for this text: its weights are damaged, train it again")


class Session(Protocol):
    """What generation and evaluation need of a network; training has one of its own."""

    shape: ModelShape

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B) from a state; return logits (T, B, V) and the state after the last one."""
        ...

    def stepper(self, state: State) -> Stepper:
        """Prepare to read one character a row at a time, from a state (B, H)."""
        return RunStepper(self, state)


class Stepper(Protocol):
    """A network that reads one character a row at a time, always the same rows."""

    def step(self, ids: Ids) -> Logits:
        """Read ids (B,); return logits (B, V), which may be overwritten by the next step."""
        ...

    @property
    def state(self) -> State:
        """The state after the last step, (B, H) each; it may be overwritten by the next step."""
        ...


class RunStepper:
    """Steps any session by running it."""

    def __init__(self, session: Session, state: State) -> None:
        self._session = session
        self.state = state

    def step(self, ids: Ids) -> Logits:
        logits, self.state = self._session.run(ids[None, :], self.state)
        return np.asarray(logits[0])


def initial_state(shape: ModelShape, batch: int) -> State:
    """The state before any text: zeros, (B, H) for each of the network's states."""
    count = shape.num_layers * shape.states_per_layer
    return tuple(np.zeros((batch, shape.hidden_size), dtype=np.float32) for _ in range(count))


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

    def stepper(self, state: State) -> Stepper:
        return _OnnxStepper(self._session, self._inputs, self._outputs, state, self.shape.vocab_size)


def check_graph(content: bytes, shape: ModelShape, name: str = GRAPH) -> None:
    """Load a graph and step it once."""
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


class _OnnxStepper:
    """Steps a graph in buffers set aside once: two sets of states take turns at being read and written."""

    def __init__(
        self, session: Any, inputs: Sequence[str], outputs: Sequence[str], state: State, vocab_size: int
    ) -> None:
        rows = len(state[0])
        self._session = session
        self._ids = np.zeros((1, rows), dtype=np.int64)
        self._logits = np.empty((1, rows, vocab_size), dtype=np.float32)
        first = tuple(np.array(part, dtype=np.float32, order="C") for part in state)
        second = tuple(np.empty_like(part) for part in first)
        self._turns: list[tuple[Any, State]] = []  # what is bound, and the state that running it writes
        for read, written in ((first, second), (second, first)):
            binding = session.io_binding()
            _bind(binding.bind_input, inputs, (self._ids, *read))
            _bind(binding.bind_output, outputs, (self._logits, *written))
            self._turns.append((binding, written))
        self.state: State = first

    def step(self, ids: Ids) -> Logits:
        self._ids[0] = ids
        binding, self.state = self._turns[0]
        self._session.run_with_iobinding(binding)
        self._turns.reverse()
        return np.asarray(self._logits[0])


def _bind(bind: Callable[..., None], names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
    """Tell a binding to read or write these arrays where they lie; whoever binds must keep them alive."""
    for name, array in zip(names, arrays, strict=True):
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
