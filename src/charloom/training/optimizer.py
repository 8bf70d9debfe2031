"""Muon for the matrices of the recurrent layers, AdamW for all other weights.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) steps along the orthogonal matrix nearest to the
momentum, so that a layer learns in all directions at the same speed, not only where gradients are large. Here each
gate's H × H and H × I part is a matrix of its own, and the orthogonal matrices are computed for every fourth step or
more seldom: the momentum hardly turns in between, and the time goes into more steps.

Legend: G gates, H hidden units, I inputs of a layer, B rows, T time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from charloom.settings import TrainingSettings
from charloom.training.model import CharacterModel

_LEAST_INTERVAL, _MOST_INTERVAL = 4, 8  # steps
_RENEWAL_SHARE = 0.15  # of the operations of an update, where the interval can be so long
_MOMENTUM = 0.95
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # x → a·x + b·x³ + c·x⁵ takes singular values from (0, 1] towards 1
# The root mean square of a step, in learning rates: about AdamW's (Liu et al., 2025, "Muon is scalable for LLM
# training"), so that what is a good rate for one optimizer is a good rate for the other.
_STEP_SIZE = 0.2


def make_optimizer(model: CharacterModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of a run; only matrices decay.

    `adamw` is AdamW (Loshchilov and Hutter, 2019) for all weights; with decay 0 it is Adam.
    """
    parameters = list(model.parameters())
    recurrent = [weights for weights in model.recurrent.parameters() if weights.dim() == 2]
    orthogonal = recurrent if settings.optimizer == "muon" else []
    chosen = {id(weights) for weights in orthogonal}
    matrices = [weights for weights in parameters if weights.dim() >= 2 and id(weights) not in chosen]
    vectors = [weights for weights in parameters if weights.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if not orthogonal:
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    hidden_size = model.shape.hidden_size
    interval = renewal_interval(hidden_size, settings.batch_size * settings.bptt)
    own = {"weight_decay": settings.weight_decay, "height": hidden_size, "interval": interval}
    groups.append({"params": orthogonal, **own})
    return Muon(groups, settings.learning_rate, bfloat16=settings.precision == "bfloat16")


def renewal_interval(hidden_size: int, characters: int) -> int:
    """For how many updates of so many characters (B · T) a direction serves.

    Renewing takes 30·H³ operations a gate, an update 6·H² a gate and character.
    """
    share = 5 * hidden_size / characters
    return min(_MOST_INTERVAL, max(_LEAST_INTERVAL, math.ceil(share / _RENEWAL_SHARE)))


def list_state(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Tensor, tuple[str, ...]]]:
    """The weights in the optimizer's order, each with the names of the tensors of its shape that are kept for it."""
    for group in optimizer.param_groups:
        names = ("momentum", "direction") if group.get("height") else ("exp_avg", "exp_avg_sq")
        for weights in group["params"]:
            yield weights, names


def orthogonalize(blocks: Tensor) -> Tensor:
    """The orthogonal matrices nearest to blocks (N, H, I), about.

    Singular values come between 0.7 and 1.2; the smallest, which would need more iterations, stay below.
    """
    is_tall = blocks.shape[-2] > blocks.shape[-1]
    turned = blocks.mT if is_tall else blocks
    turned = turned / turned.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-20)
    for _ in range(_ITERATIONS):
        square = turned @ turned.mT
        turned = torch.baddbmm(turned, torch.baddbmm(square, square, square, beta=_B, alpha=_C), turned, beta=_A)
    return turned.mT if is_tall else turned


class Muon(torch.optim.Optimizer):
    """Muon for the groups with a `height` H, whose matrices are (G·H, I); AdamW for the others.

    The state of a Muon matrix is its `momentum`, the `direction` that serves for `interval` steps, and the `step`.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float, *, bfloat16: bool = False) -> None:
        """Start with no momentum.

        Args:
            groups: of weights, see above.
            rate: the learning rate.
            bfloat16: find the orthogonal matrices in it, as Muon's authors do; momentum and weights stay float32.
        """
        super().__init__(groups, {"lr": rate, "height": 0, "interval": 0})
        self._precision = torch.bfloat16 if bfloat16 else torch.float32

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients."""
        for group in self.param_groups:
            weights = [each for each in group["params"] if each.grad is not None]
            if group["height"]:
                for each in weights:
                    self._turn(each, group)
            elif weights:
                self._adapt(weights, group["lr"], group["weight_decay"])

    @torch.no_grad()
    def renew_directions(self) -> None:
        """Compute the direction of every Muon matrix from its momentum and gradient; a step does where it is due."""
        for group in self.param_groups:
            for weights in group["params"] if group["height"] else ():
                self._renew(weights, group["height"])

    def _turn(self, weights: Tensor, group: dict[str, Any]) -> None:
        """One step of Muon."""
        state, gradient, rate = self.state[weights], weights.grad, group["lr"]
        assert gradient is not None
        if not state:
            state["step"] = torch.tensor(0.0)
            state["momentum"], state["direction"] = torch.zeros_like(weights), torch.zeros_like(weights)
        state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        if int(state["step"]) % group["interval"] == 0:
            self._renew(weights, group["height"])
        state["step"] += 1
        size = _STEP_SIZE * math.sqrt(max(group["height"], weights.shape[1]))
        weights.mul_(1 - rate * group["weight_decay"]).add_(state["direction"], alpha=-rate * size)

    def _renew(self, weights: Tensor, height: int) -> None:
        state, gradient = self.state[weights], weights.grad
        assert gradient is not None
        ahead = state["momentum"].lerp(gradient, 1 - _MOMENTUM)  # Nesterov's
        blocks = ahead.view(-1, height, weights.shape[1])
        state["direction"].copy_(orthogonalize(blocks.to(self._precision)).reshape(weights.shape))

    def _adapt(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """One step of AdamW."""
        for each in weights:
            if not self.state[each]:
                moments = {"exp_avg": torch.zeros_like(each), "exp_avg_sq": torch.zeros_like(each)}
                self.state[each] = {"step": torch.zeros((), device=each.device), **moments}
        states = [self.state[each] for each in weights]
        adamw(
            weights,
            [each.grad for each in weights if each.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=_BETA1,
            beta2=_BETA2,
            lr=rate,
            weight_decay=decay,
            eps=_EPSILON,
            maximize=False,
        )
