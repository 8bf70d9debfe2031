"""How far back the gradient reaches: the norm of d loss_t / d state_(t−k) for k = 0, 1, 2, ...

Legend: T time, B rows, H hidden units, K distances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from torch.nn import functional as F

from charloom.bundle import ModelDirectory
from charloom.text.vocabulary import Ids
from charloom.training.model import CharacterModel, TorchState
from figures import style

Norms = NDArray[np.float64]

DISTANCE = 120
ROWS = 256


@dataclass(frozen=True)
class Reach:
    """Gradient norms by distance, the mean over rows, (K,) each.

    Attributes:
        fresh: of a network that has learned nothing.
        trained: of the same network after training.
        trained_cell: by the cell state of an LSTM, after training; None for the others.
    """

    fresh: Norms
    trained: Norms
    trained_cell: Norms | None


def reach(directory: ModelDirectory, ids: Ids, distance: int = DISTANCE, rows: int = ROWS, seed: int = 1) -> Reach:
    """Measure a model's gradient norms at `rows` places of held-out text, before and after training.

    Args:
        directory: the model.
        ids: text that was not trained on, longer than two distances.
        distance: how far back.
        rows: how many places.
        seed: draws the places and the fresh weights.
    """
    starts = np.random.default_rng(seed).integers(0, len(ids) - 2 * distance - 1, rows)
    windows = torch.from_numpy(np.stack([ids[start : start + 2 * distance + 1] for start in starts], axis=1)).long()
    torch.manual_seed(seed)
    model = CharacterModel(directory.config.model).double().eval()
    fresh = gradient_norms(model, windows, distance)
    model.load_state_dict(load_tensors(directory.read_weights()))
    trained = gradient_norms(model, windows, distance)
    return Reach(fresh[0], trained[0], trained[1] if len(trained) == 2 else None)


def gradient_norms(model: CharacterModel, windows: torch.Tensor, distance: int) -> list[Norms]:
    """Windows (T + 1, B) → the mean norm for each part of the top layer's state, (K,): h, and c of an LSTM.

    The loss is that of each row's last prediction alone. Rows share nothing, so the gradient of their sum holds each
    row's own. What comes before the last `distance` characters sets the state and gets no gradient.
    """
    state = model.initial_state(windows.shape[1])
    begin = len(windows) - 1 - distance
    with torch.no_grad():
        _, state = model(windows[:begin], state)
    states: list[TorchState] = []
    logits = torch.empty(0)
    for ids in windows[begin:-1]:
        logits, state = _step(model, ids, state)
        states.append(state)
    torch.autograd.backward(F.cross_entropy(logits, windows[-1], reduction="sum"))
    return [_norms([step[part] for step in reversed(states)]) for part in range(model.shape.states_per_layer)]


def _step(model: CharacterModel, ids: torch.Tensor, state: TorchState) -> tuple[torch.Tensor, TorchState]:
    """Read one character (B,); the loss looks at the very state that the next step reads: gradients meet in it."""
    _, after = model(ids[None], state)
    for part in after:
        part.retain_grad()
    return model.output(after[0][-1]), after  # (B, V)


def _norms(parts: list[torch.Tensor]) -> Norms:
    """States (L, B, H) with gradients → the mean norm of the top layer's, one for each."""
    means = [0.0 if part.grad is None else float(part.grad[-1].norm(dim=-1).mean()) for part in parts]
    return np.array(means)


def draw(reaches: Mapping[str, Reach]) -> bytes:
    """Norm against distance for each cell, before training and after."""
    with style.figure(7.4, 3.9) as figure:
        before, after = figure.subplots(1, 2, sharey=True)
        for cell, measured in reaches.items():
            colour, name = style.CELL_COLOURS[cell], cell.upper()
            before.semilogy(measured.fresh, color=colour, label=name)
            after.semilogy(measured.trained, color=colour, label=f"{name}, by h")
            if measured.trained_cell is not None:
                places = range(1, len(measured.trained_cell))
                after.semilogy(places, measured.trained_cell[1:], color=colour, linestyle="--", label=f"{name}, by c")
        before.set_title("before training")
        after.set_title("after training")
        before.set_ylabel("norm of the gradient")
        before.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
        for axes in (before, after):
            axes.set_xlabel("characters back")
            axes.grid(linewidth=0.8)
            axes.legend()
        return style.svg(figure, "Gradient norm against distance")


def figures(reaches: Mapping[str, Reach]) -> dict[str, object]:
    """The numbers that the pages speak of: the norm as a share of that by h at distance 0."""
    found: dict[str, object] = {}
    for cell, measured in reaches.items():
        parts = {"before": (measured.fresh, measured.fresh[0]), "after": (measured.trained, measured.trained[0])}
        if measured.trained_cell is not None:  # at distance 0 the prediction reads h alone
            parts["after, by c"] = (measured.trained_cell, measured.trained[0])
        for when, (norms, nearest) in parts.items():
            places = [k for k in (1, 10, 25, 50, 100) if k < len(norms)]
            found[f"{cell} {when}"] = {str(k): float(f"{norms[k] / nearest:.2g}") for k in places}
    return found
