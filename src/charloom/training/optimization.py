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


def learning_rate(done: float, settings: TrainingSettings) -> float:
    """The rate where a share `done` of the run lies behind, 0 < done ≤ 1.

    Linear warm-up, then a cosine to zero (Loshchilov and Hutter, 2017); or constant.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    if done < settings.warmup:
        return settings.learning_rate * done / settings.warmup
    fallen = (done - settings.warmup) / (1 - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * fallen))
