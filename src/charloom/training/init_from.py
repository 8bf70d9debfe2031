"""Start from another model (`--init-from`): its weights, shape, and vocabulary with the new text's characters added."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from charloom.bundle import CorpusRecord, ModelDirectory, ModelShape, open_model_directory
from charloom.bundle.config import WEIGHTS
from charloom.errors import ModelDirectoryError, UsageError
from charloom.settings import RunSettings
from charloom.text.vocabulary import Vocabulary
from charloom.training.model import CharacterModel
from charloom.training.ranks import Ranks
from charloom.training.schedule import usual_rate
from charloom.training.state import TrainingState, Weights, fresh_state
from charloom.wrong_values import option_name

_SHAPE = ("cell", "num_layers", "hidden_size", "embedding_size")


@dataclass(frozen=True)
class Origin:
    """The model to start from.

    Attributes:
        name: what it is called.
        folder: it is in.
        shape: its network.
        vocabulary: what its ids mean.
        corpus: what it learned, and how that was cleaned.
        weights: by PyTorch's names.
        sha256: of its weights' file.
    """

    name: str
    folder: Path
    shape: ModelShape
    vocabulary: Vocabulary
    corpus: CorpusRecord
    weights: Weights
    sha256: str


def read_origin(folder: Path) -> Origin:
    """Open the model to start from."""
    directory = open_model_directory(folder)
    weights = read_weights(directory)
    config = directory.config
    return Origin(
        directory.name,
        directory.path.resolve(),
        config.model,
        directory.vocabulary,
        config.corpus,
        weights,
        config.files[WEIGHTS],
    )


def read_weights(directory: ModelDirectory) -> Weights:
    """A model's weights by PyTorch's names."""
    try:
        weights = load(directory.read_weights())
    except SafetensorError as error:
        raise ModelDirectoryError(f"{directory.path}: {WEIGHTS} cannot be read: {error}") from None
    shape = directory.config.model
    expected = {name: tuple(tensor.shape) for name, tensor in CharacterModel(shape).state_dict().items()}
    if {name: tuple(tensor.shape) for name, tensor in weights.items()} != expected:
        raise ModelDirectoryError(f"{directory.path}: {WEIGHTS} does not hold the network that config.json describes")
    return weights


def settings_like(
    origin: Origin, settings: RunSettings, explicit: frozenset[str], recipe: str | None = None
) -> RunSettings:
    """The settings with the origin's network and cleaning, and the usual rate for its size unless one was given."""
    shape = {name: getattr(origin.shape, name) for name in _SHAPE}
    for name, value in shape.items():
        _check_agrees(name, getattr(settings.model, name), value, explicit)
    _check_agrees("vocabulary", settings.corpus.vocabulary, origin.vocabulary.kind, explicit)
    corpus: dict[str, object] = {"vocabulary": origin.vocabulary.kind}
    if "clean" not in explicit:
        corpus["clean"] = list(origin.corpus.cleaning)
    training: dict[str, object] = {}
    if recipe is None and "learning_rate" not in explicit:
        training["learning_rate"] = usual_rate(origin.shape.hidden_size)
    return settings.model_copy(
        update={
            "corpus": settings.corpus.model_copy(update=corpus),
            "model": settings.model.model_copy(update=shape),
            "training": settings.training.model_copy(update=training),
        }
    )


def _check_agrees(name: str, given: object, origins: object, explicit: frozenset[str]) -> None:
    if name in explicit and given != origins:
        option = option_name(name)
        raise UsageError(f"the model to start from has {option} {origins}, not {given}: leave {option} out")


def first_state(
    shape: ModelShape, settings: RunSettings, device: torch.device, ranks: Ranks, origin: Origin | None
) -> TrainingState:
    """The state of a run that has not begun: with new weights, or with those of an origin."""
    state = fresh_state(shape, settings, device, ranks)
    if origin is not None:
        take_weights(state.model, origin)
        for name, weights in state.model.named_parameters():
            if name in state.average:
                state.average[name].copy_(weights.detach())
    return state


@torch.no_grad()
def take_weights(model: CharacterModel, origin: Origin) -> None:
    """Fill a model whose vocabulary has grown from V to V' with the weights of its origin.

    A new character starts as the mean of the old ones at the input, and at the output as unlikely as the least
    likely of them.
    """
    weights = dict(origin.weights)
    new = model.shape.vocab_size - origin.shape.vocab_size
    if new:
        if model.embedding is not None:
            weights["embedding.weight"] = _with_mean_rows(weights["embedding.weight"], new)
        else:
            one_hot = weights["recurrent.weight_ih_l0"]  # (G·H, V)
            weights["recurrent.weight_ih_l0"] = _with_mean_rows(one_hot.T, new).T.contiguous()
        weights["output.weight"] = _with_mean_rows(weights["output.weight"], new)
        bias = weights["output.bias"]
        weights["output.bias"] = torch.cat([bias, bias.min().expand(new)])
    model.load_state_dict(weights)


def _with_mean_rows(rows: Tensor, new: int) -> Tensor:
    """Rows (V, D) and `new` more, each their mean: (V + new, D)."""
    return torch.cat([rows, rows.mean(dim=0, keepdim=True).expand(new, -1)])
