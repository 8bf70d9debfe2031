"""ONNX Runtime stepping a graph as fast as it can: the reference of the benchmarks.

Legend: B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.kernel.sampling import Sampler, write_steps
from charloom.runtime.onnx_session import OnnxSession
from charloom.runtime.session import Logits, State
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids


class OnnxPath(OnnxSession):
    """A graph that writes as fast as ONNX Runtime steps and numpy draws."""

    def write(
        self,
        ids: Ids,
        state: State,
        uniforms: NDArray[np.float64],
        sampling: Sequence[SamplingSettings],
        unknown_id: int | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Ids, State]:
        """As a session does."""
        stepper, sampler = OnnxStepper(self, state), Sampler(sampling, unknown_id)
        written, _ = write_steps(lambda ids, _: (stepper.step(ids), state), ids, state, uniforms, sampler, allowed)
        return written, tuple(part.copy() for part in stepper.state)


class OnnxStepper:
    """Steps a graph in buffers set aside once: two sets of states take turns at being read and written."""

    def __init__(self, onnx: OnnxSession, state: State) -> None:
        rows, vocab_size = len(state[0]), onnx.shape.vocab_size
        self._session: Any = onnx._session
        self._ids = np.zeros((1, rows), dtype=np.int64)
        self._logits = np.empty((1, rows, vocab_size), dtype=np.float32)
        first = tuple(np.array(part, dtype=np.float32, order="C") for part in state)
        second = tuple(np.empty_like(part) for part in first)
        self._turns: list[tuple[Any, State]] = []  # what is bound, and the state that running it writes
        for read, written in ((first, second), (second, first)):
            binding = self._session.io_binding()
            _bind(binding.bind_input, onnx._inputs, (self._ids, *read))
            _bind(binding.bind_output, onnx._outputs, (self._logits, *written))
            self._turns.append((binding, written))
        self.state: State = first

    def step(self, ids: Ids) -> Logits:
        """Read ids (B,); return logits (B, V), which the next step overwrites."""
        self._ids[0] = ids
        binding, self.state = self._turns[0]
        self._session.run_with_iobinding(binding)
        self._turns.reverse()
        return np.asarray(self._logits[0])


def _bind(bind: Callable[..., None], names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
    """Tell a binding to read or write these arrays where they lie; whoever binds must keep them alive."""
    for name, array in zip(names, arrays, strict=True):
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
