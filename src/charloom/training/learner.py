"""One update of the weights: a window in, the loss and its gradient, AdamW, the running average.

Legend: T time, B rows, L layers, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charloom.settings import TrainingSettings
from charloom.training.batches import Batches
from charloom.training.model import TorchState, WeightDrop
from charloom.training.ranks import Ranks
from charloom.training.state import TrainingState

_SHORTEST_PART = 16  # characters a row; a text of some thousand characters has short windows
_YOUNG_AVERAGE = 10  # updates; a young average forgets the fresh weights faster than an old one would


@dataclass(frozen=True)
class Update:
    """What an update came to.

    Attributes:
        characters: that were predicted, by all ranks.
        loss: mean nats a character, over all ranks.
        gradient_norm: before it was clipped.
        stop: whether a rank was asked to stop.
    """

    characters: int
    loss: float
    gradient_norm: float
    stop: bool

    @property
    def is_finite(self) -> bool:
        """Whether the update was made; where it was not, the state is as it was before."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class Learner:
    """Makes the updates of a `TrainingState`, from this rank's rows."""

    def __init__(
        self,
        state: TrainingState,
        batches: Batches,
        settings: TrainingSettings,
        weight_drop: float,
        ranks: Ranks,
        opening: int | None = None,
    ) -> None:
        """Learn from `batches`.

        Args:
            state: what is changed.
            batches: the windows to learn from.
            settings: how.
            weight_drop: the share of the recurrent weights dropped for each update.
            ranks: the processes that share the rows.
            opening: the id that a row which forgets its past reads first; None leaves the text as it is.
        """
        self._state = state
        self._batches = batches
        self._settings = settings
        self._ranks = ranks
        self._opening = opening
        self._rows = ranks.rows(batches.batch_size) if batches.carries_state else slice(None)
        self._parameters = list(state.model.parameters())
        self._weight_drop = WeightDrop(state.model.recurrent, weight_drop)

    def update(self, rate: float, should_stop: Callable[[], bool], parts: int = 1) -> Update:
        """Learn from what comes next.

        Args:
            rate: the learning rate.
            should_stop: is asked late, for a quick answer.
            parts: in how many parts to learn the window, where one begins; fewer, where they would be very short.
        """
        progress = self._state.progress
        if progress.part == 0:
            progress.parts = self._most_parts(parts)
        own_loss, carried = self._backward()
        gradients = [weights.grad for weights in self._parameters if weights.grad is not None]
        loss, stopping = self._ranks.average(gradients, [own_loss, float(should_stop())])
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._settings.grad_clip))
        update = Update(self._characters(), loss, norm, stopping > 0)
        if update.is_finite:
            for group in self._state.optimizer.param_groups:
                group["lr"] = rate
            self._state.optimizer.step()
            self._state.carried = carried
            progress.advance()
            self._average()
        return update

    def _backward(self) -> tuple[float, TorchState]:
        """Fill the gradients; return the mean loss of this rank's rows and the state they end with."""
        model = self._state.model
        inputs, targets = self._next_window()
        if self._batches.carries_state:
            forgetting = self._forgetting_rows()
            state = tuple(part.masked_fill(forgetting[:, None], 0) for part in self._state.carried)
            if self._opening is not None:
                inputs[0, forgetting] = self._opening
        else:
            state = model.initial_state(inputs.shape[1])
        self._weight_drop.drop()
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._settings.precision == "bfloat16"):
            logits, carried = model(inputs, state)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        self._state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._weight_drop.restore()
        after = tuple(part.detach().float() for part in carried)
        return float(loss.detach()), after if self._batches.carries_state else self._state.carried

    def _next_window(self) -> tuple[Tensor, Tensor]:
        device, progress = self._state.model.output.weight.device, self._state.progress
        window = self._batches.window(*divmod(progress.windows, self._batches.windows_per_epoch))
        part = slice(*progress.part_of(len(window[0])))
        inputs, targets = (torch.from_numpy(ids[part, self._rows]) for ids in window)
        return inputs.to(device), targets.to(device)

    def _most_parts(self, parts: int) -> int:
        if parts == 1 or not self._batches.carries_state:
            return 1
        index = self._state.progress.windows % self._batches.windows_per_epoch
        return max(1, min(parts, self._batches.characters(index) // self._batches.batch_size // _SHORTEST_PART))

    def _characters(self) -> int:
        progress = self._state.progress
        start, end = progress.part_of(self._batches.characters(progress.windows % self._batches.windows_per_epoch))
        return end - start

    def _forgetting_rows(self) -> Tensor:
        """Which rows (B,) start from a zero state: all where an epoch begins, some at random elsewhere."""
        progress, rows = self._state.progress, self._batches.batch_size
        forgetting = np.full(rows, progress.part == 0)
        if progress.part == 0 and progress.windows % self._batches.windows_per_epoch:
            # Drawn from the window's own generator: nothing to save for a run that is resumed.
            drawn = np.random.default_rng((self._settings.seed, 1, progress.windows)).random(rows)
            forgetting = drawn < self._settings.state_reset
        return torch.from_numpy(forgetting[self._rows]).to(self._state.carried[0].device)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running average towards the new weights."""
        if not self._state.average:
            return
        updates = self._state.progress.step
        kept = min(self._settings.averaging, (1 + updates) / (_YOUNG_AVERAGE + updates))
        for name, weights in self._state.model.named_parameters():
            self._state.average[name].lerp_(weights, 1 - kept)
