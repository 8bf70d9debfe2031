"""A network that can be stepped: ids and state in, logits and state out.

Legend: T time, B batch (rows), V vocabulary, H hidden units, L layers.

The state is explicit: a tuple of float32 arrays of shape (B, H), layer by layer; an LSTM has two a layer,
hidden then cell, the other cells one. All zeros is the state before any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelDirectory, ModelShape
from charloom.bundle.config import WEIGHTS
from charloom.errors import ModelDirectoryError
from charloom.kernel.network import open_network
from charloom.kernel.sampling import Sampler, write_steps
from charloom.kernel.weights import Precision, Weights, read_weights
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids

State = tuple[NDArray[np.float32], ...]
Logits = NDArray[np.float32]
Nats = NDArray[np.float64]

LOGITS_LIMIT = 1 << 23
"""Logits held at a time, 32 MiB of float32: whoever reads much at once cuts it so that there are no more."""


def no_number() -> ModelDirectoryError:
    """The error of a network whose answer is NaN or infinite."""
    return ModelDirectoryError("the model gives no number for this text: its weights are damaged, train it again")


class Session(Protocol):
    """What generation and evaluation need of a network; training has one of its own.

    A network of the kernel has all of it; where only `run` is defined, the rest is done by it and numpy.
    """

    shape: ModelShape

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B) from a state; return logits (T, B, V) and the state after the last one."""
        ...

    def read(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B), T ≥ 1, from a state; return logits (B, V) and the state, both after the last one."""
        logits, state = self.run(ids, state)
        return logits[-1].copy(), state

    def write(
        self,
        ids: Ids,
        state: State,
        uniforms: NDArray[np.float64],
        sampling: Sequence[SamplingSettings],
        unknown_id: int | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Ids, State]:
        """Read ids (B,), draw the next, read it, and so on for T steps.

        Args:
            ids: the last ids of what was written so far; not read yet.
            state: the state before them.
            uniforms: (T, B) numbers in [0, 1) to draw by.
            sampling: of each row.
            unknown_id: never drawn.
            allowed: the only ids that may be drawn, (B, V), at least one a row; None = all.

        Returns:
            What was drawn (T, B), the last of it not read yet, and the state. A row without finite logits draws V, and
            what it draws later means nothing.
        """
        sampler = Sampler(sampling, unknown_id)
        return write_steps(lambda ids, state: self.read(ids[None], state), ids, state, uniforms, sampler, allowed)

    def nats(self, ids: Ids, targets: Ids, state: State) -> tuple[Nats, State]:
        """Read ids (T, B) from a state; −ln p of targets (T, B), NaN where there are no numbers, and the state."""
        logits, state = self.run(ids, state)
        return negative_log_likelihoods(logits, targets), state


def negative_log_likelihoods(logits: Logits, targets: Ids) -> Nats:
    """−ln p of each target: logits (T, B, V) and targets (T, B) → nats (T, B)."""
    with np.errstate(invalid="ignore"):  # NaN stays NaN: whoever asks looks at the sum
        shifted = logits - logits.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shifted, targets[..., None].astype(np.intp), axis=-1)[..., 0]
        nats = np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64)) - chosen
    return np.asarray(nats, dtype=np.float64)


def initial_state(shape: ModelShape, batch: int) -> State:
    """The state before any text: zeros, (B, H) for each of the network's states."""
    count = shape.num_layers * shape.states_per_layer
    return tuple(np.zeros((batch, shape.hidden_size), dtype=np.float32) for _ in range(count))


def open_session(directory: ModelDirectory, precision: Precision, threads: int = 1) -> Session:
    """The network of a model directory.

    Raises:
        ModelDirectoryError: the weights are not whole.
    """
    return open_network(directory.config.model, read_weights(directory), precision, threads=threads)


def check_network(shape: ModelShape, weights: Weights) -> None:
    """Step a network once.

    Raises:
        ModelDirectoryError: it gives no numbers.
    """
    logits, _ = open_network(shape, weights, "float32").read(np.zeros((1, 1), dtype=np.int64), initial_state(shape, 1))
    if not np.isfinite(logits).all():
        raise ModelDirectoryError(f"{WEIGHTS}: {no_number()}")
