"""A model in another process: what is sent is where it is, and it is opened there once."""

from __future__ import annotations

from functools import lru_cache

from charloom.bundle.config import WEIGHTS
from charloom.errors import ModelDirectoryError
from charloom.kernel.weights import Weights
from charloom.runtime.model import Model, load
from charloom.settings import Precision

_MODELS = 32  # that a process keeps open: as many classes as one classifier may have


@lru_cache(maxsize=_MODELS)
def open_again(place: str, threads: int, precision: Precision, sha256: str) -> Model:
    """The model at a place, which must have the weights of that checksum; one object for all who ask in this process.

    Raises:
        ModelDirectoryError: another model is there now, or none.
    """
    model = load(place, threads=threads, precision=precision)
    if model.config.files[WEIGHTS] != sha256:
        raise ModelDirectoryError(f"{place} holds another model than the one that was sent: start the workers again")
    return model


def open_adapted(place: str, threads: int, precision: Precision, sha256: str, weights: Weights) -> Model:
    """The same with weights of its own, which were sent too."""
    return open_again(place, threads, precision, sha256).with_weights(weights)
