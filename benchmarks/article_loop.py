"""The article's training loop, made again in plain PyTorch from its description: what ours is compared with.

One-hot characters → LSTM (2 layers × 512, dropout 0.2 between them) → dropout 0.2 → linear; Adam at 0.01, the
gradient's norm clipped at 5; 64 contiguous rows read in windows of 60, the state carried from window to window
and the rows rolled by one character an epoch; validation on windows of 60, each from a zero state (`cold-60`).

Legend: B rows, T time, N characters of a row, V vocabulary, L layers, H hidden units.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charloom.text.splits import Segment

ROWS = 64
WINDOW = 60
LAYERS = 2
HIDDEN_SIZE = 512
DROPOUT = 0.2
LEARNING_RATE = 0.01
GRAD_CLIP = 5.0

State = tuple[Tensor, Tensor]
"""What the LSTM carries, h and c: each (L, B, H)."""


@dataclass(frozen=True)
class Point:
    """One look at the validation loss.

    Attributes:
        epoch: passes over the training text so far.
        seconds: spent learning, evaluations not counted.
        wall_seconds: since the beginning, everything counted.
        loss: of the whole validation part, nats a character.
    """

    epoch: float
    seconds: float
    wall_seconds: float
    loss: float


class ArticleNetwork(nn.Module):
    """The article's network."""

    def __init__(self, vocab_size: int, hidden_size: int = HIDDEN_SIZE) -> None:
        """Build it with PyTorch's own initial weights."""
        super().__init__()
        self.vocab_size = vocab_size
        self.lstm = nn.LSTM(vocab_size, hidden_size, LAYERS, dropout=DROPOUT, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read ids (B, T) from a state (None is zero); return logits (B, T, V) and the state after them."""
        one_hot = F.one_hot(ids, self.vocab_size).float()  # (B, T, V)
        hidden, after = self.lstm(one_hot, state)  # (B, T, H)
        return self.output(self.dropout(hidden)), after


class ArticleLoop:
    """The network, its optimizer and the text it learns."""

    def __init__(
        self,
        train: Sequence[Segment],
        validation: Sequence[Segment],
        vocab_size: int,
        hidden_size: int = HIDDEN_SIZE,
        seed: int = 1,
    ) -> None:
        """Learn `train` and measure on `validation`: one segment a row, as the split `row-tail` cuts them."""
        torch.manual_seed(seed)
        self.network = ArticleNetwork(vocab_size, hidden_size)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self._train = _inputs_and_targets(train)
        self._validation = _inputs_and_targets(validation)

    @property
    def windows_per_epoch(self) -> int:
        """Updates in one pass over the training text."""
        return self._train[0].shape[1] // WINDOW

    @property
    def training_characters(self) -> int:
        """Characters that one epoch predicts."""
        return self._train[0].numel()

    @property
    def validation_characters(self) -> int:
        """Characters that one evaluation predicts."""
        return self._validation[0].numel()

    def step(self, inputs: Tensor, targets: Tensor, state: State | None) -> tuple[float, State]:
        """Learn one window (B, T); return its mean loss and the state to go on from."""
        logits, (hidden, cell) = self.network(inputs, state)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), GRAD_CLIP)
        self.optimizer.step()
        return float(loss.detach()), (hidden.detach(), cell.detach())

    def windows(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The inputs and targets (B, T) of an epoch (from 0), its rows rolled by as many characters."""
        inputs, targets = (torch.roll(rows, -epoch, dims=1) for rows in self._train)
        yield from _windows(inputs, targets)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Nats a character over the validation windows, each from a zero state."""
        self.network.eval()
        inputs, targets = self._validation
        nats = 0.0
        for window, expected in _windows(inputs, targets):
            logits, _ = self.network(window, None)
            nats += float(F.cross_entropy(logits.flatten(0, 1), expected.flatten(), reduction="sum"))
        self.network.train()
        return nats / targets.numel()

    def run(
        self, epochs: int, evaluate_every: float = math.inf, watch: Callable[[Point], None] = lambda point: None
    ) -> list[Point]:
        """Train, and look after every epoch and, within one, every `evaluate_every` seconds of training.

        Args:
            epochs: passes over the training text.
            evaluate_every: seconds of training between the looks within an epoch.
            watch: receives every look.
        """
        points: list[Point] = []
        started, seconds = time.perf_counter(), 0.0
        for epoch in range(epochs):
            mark, state, last = time.perf_counter(), None, seconds
            for index, (inputs, targets) in enumerate(self.windows(epoch), start=1):
                _, state = self.step(inputs, targets, state)
                now = time.perf_counter()
                seconds, mark = seconds + now - mark, now
                if index == self.windows_per_epoch or seconds - last >= evaluate_every:
                    loss = self.validation_loss()
                    done = epoch + index / self.windows_per_epoch
                    mark, last = time.perf_counter(), seconds
                    points.append(Point(done, seconds, mark - started, loss))
                    watch(points[-1])
        return points


def _inputs_and_targets(segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
    """Rows (B, N) of inputs, and of targets: the inputs shifted by one character."""
    rows = torch.from_numpy(np.stack([segment.ids for segment in segments]).astype(np.int64))
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def _windows(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows (B, N) cut into windows (B, T)."""
    for start in range(0, inputs.shape[1], WINDOW):
        yield inputs[:, start : start + WINDOW], targets[:, start : start + WINDOW]
