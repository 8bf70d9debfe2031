"""A model in training, seen through the runtime's eyes: the same protocols and the same sampling serve both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from charloom.runtime.session import Logits, Session, State
from charloom.text.vocabulary import Ids
from charloom.training.model import CharacterModel


class TorchSession(Session):
    """A torch model, stepped."""

    def __init__(self, model: CharacterModel) -> None:
        self.shape = model.shape
        self._model = model

    @torch.inference_mode()
    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """Read ids (T, B) from a state; return logits (T, B, V) and the state after the last one."""
        device = self._model.output.weight.device
        per_layer = self.shape.states_per_layer
        stacked = tuple(  # (B, H) layer by layer → (L, B, H) for each kind of state
            torch.from_numpy(np.stack(state[kind::per_layer])).to(device) for kind in range(per_layer)
        )
        with evaluating(self._model):
            logits, after = self._model(torch.from_numpy(ids.astype(np.int64)).to(device), stacked)
        parts = [part.cpu().numpy() for part in after]
        unstacked = tuple(part[layer] for layer in range(self.shape.num_layers) for part in parts)
        return logits.cpu().numpy(), unstacked


class Interrupted(Exception):  # noqa: N818  (a request, not an error)
    """An evaluation was broken off because the run was asked to stop."""


class StoppableSession(Session):
    """A session that breaks off when the run is asked to stop: a large text must not delay the checkpoint."""

    def __init__(self, session: Session, should_stop: Callable[[], bool]) -> None:
        self.shape = session.shape
        self._session = session
        self._should_stop = should_stop

    def run(self, ids: Ids, state: State) -> tuple[Logits, State]:
        """As the session does.

        Raises:
            Interrupted: it was asked to stop.
        """
        if self._should_stop():
            raise Interrupted
        return self._session.run(ids, state)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout inside the block; as before after it."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
