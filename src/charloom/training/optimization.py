"""The optimizer and its learning rate over time."""

from __future__ import annotations

import math

import torch
from torch import nn

from charloom.settings import TrainingSettings


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019); only matrices decay. With decay 0 it is Adam."""
    matrices = [weights for weights in model.parameters() if weights.dim() >= 2]
    vectors = [weights for weights in model.parameters() if weights.dim() < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def learning_rate(step: int, steps: int, settings: TrainingSettings) -> float:
    """The rate of update `step` (from 0) of `steps`: linear warm-up, then a cosine to zero; or constant."""
    if settings.schedule == "constant":
        return settings.learning_rate
    warmup = settings.warmup * steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
