"""Everything a run changes as it goes: weights, their average, the optimizer, the learning rate, the progress."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charloom.bundle import ModelShape
from charloom.settings import RunSettings
from charloom.training.model import CharacterModel, TorchState
from charloom.training.optimizer import make_optimizer
from charloom.training.ranks import Ranks

Weights = dict[str, Tensor]


@dataclass
class Progress:
    """How far a run has come: everything that changes and is not a tensor.

    Attributes:
        step: updates made.
        windows: of the text learned to their end.
        part: parts of the next window that are learned.
        parts: in how many parts it is learned, an update each.
        characters: characters learned from.
        seconds: spent in all, evaluations included.
        training_seconds: spent in updates alone.
        best_step: the update that made the best weights; 0 before any evaluation.
        best_loss: their validation loss.
        recent_nats: summed training loss since the last record.
        recent_characters: how many characters that sum is of.
        started_at: `seconds` when the first update began: the text was read and the machine measured before.
        evaluated_step: the update after which the last evaluation was made; 0 before any.
        evaluated_at: `seconds` when it ended.
        evaluation_seconds: how long it took, with a sample and everything.
        reading_seconds: how long of that the reading of the validation split took.
        looking_seconds: how long all evaluations took, with their samples and everything.
        rescues: how often the run was taken back because a loss was NaN or infinite.
        rate_scale: what the learning rate is multiplied with since then.
    """

    step: int = 0
    windows: int = 0
    part: int = 0
    parts: int = 1
    characters: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    best_step: int = 0
    best_loss: float = float("inf")
    recent_nats: float = 0.0
    recent_characters: int = 0
    started_at: float = 0.0
    evaluated_step: int = 0
    evaluated_at: float = 0.0
    evaluation_seconds: float = 0.0
    reading_seconds: float = 0.0
    looking_seconds: float = 0.0
    rescues: int = 0
    rate_scale: float = 1.0

    def advance(self) -> None:
        """An update was made: the next part of the window comes, or the next window."""
        self.step += 1
        self.part += 1
        if self.part == self.parts:
            self.windows, self.part = self.windows + 1, 0

    def part_of(self, length: int) -> tuple[int, int]:
        """Where the coming part of a window of such a length begins and ends."""
        return length * self.part // self.parts, length * (self.part + 1) // self.parts

    def epochs(self, windows_per_epoch: int) -> float:
        """Passes over the text."""
        return (self.windows + self.part / self.parts) / windows_per_epoch


@dataclass
class TrainingState:
    """Everything a run changes as it goes.

    Attributes:
        progress: how far it has come.
        model: the network in training.
        optimizer: its optimizer, with the moments.
        carried: the state that the rows ended their last window with.
        average: the running average of the weights; empty where the run keeps none.
        best_weights: the weights with the lowest validation loss so far; empty before any evaluation.
    """

    progress: Progress
    model: CharacterModel
    optimizer: torch.optim.Optimizer
    carried: TorchState
    average: Weights
    best_weights: Weights


def fresh_state(shape: ModelShape, settings: RunSettings, device: torch.device, ranks: Ranks) -> TrainingState:
    """The state of a run that has not begun; all ranks have the same weights, and dropout of their own."""
    training = settings.training
    torch.manual_seed(training.seed)
    model = CharacterModel(shape, settings.model.input_dropout, window_dropout=settings.model.window_dropout)
    model.to(device)
    rows = ranks.rows(training.batch_size)
    if ranks.world_size > 1:
        torch.manual_seed(training.seed + ranks.rank)
    return TrainingState(
        progress=Progress(),
        model=model,
        optimizer=make_optimizer(model, training),
        carried=model.initial_state(rows.stop - rows.start),
        average={name: weights.detach().clone() for name, weights in model.named_parameters()}
        if training.averaging
        else {},
        best_weights={},
    )


@torch.no_grad()
def expect_once(state: TrainingState, symbols: NDArray[np.bool_], characters: int) -> None:
    """Let an untrained model expect each of some symbols (V,) about once in so many characters."""
    for bias in (state.model.output.bias, state.average.get("output.bias")):
        if bias is not None:
            bias[torch.from_numpy(symbols).to(bias.device)] = -math.log(characters)
