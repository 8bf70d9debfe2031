"""What keeps a network from learning a small text by heart: dropout that lasts a window, and dropped weights.

Legend: T time, B rows, D values, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WindowDropout(nn.Module):
    """Dropout with one mask for a whole window: the same values of a row are dropped at every time step.

    Gal and Ghahramani, 2016: "A theoretically grounded application of dropout in recurrent neural networks".
    """

    def __init__(self, share: float) -> None:
        """Drop each of D values with probability `share`, 0 ≤ share < 1."""
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Values (T, B, D), some of them zero while training, the rest scaled so that the mean stays."""
        if not self.training or self.share == 0:
            return values
        mask = torch.empty_like(values[:1]).bernoulli_(1 - self.share)  # (1, B, D)
        return values * mask.div_(1 - self.share)


class WeightDrop:
    """Drops single weights of the recurrent matrices for one update (Merity et al., 2018, "AWD-LSTM").

    The weights are masked where they stand, so that the fused kernels find them as they always do, and are put
    back before the optimizer changes them.
    """

    def __init__(self, recurrent: nn.Module, share: float) -> None:
        """Drop each hidden-to-hidden weight of `recurrent` with probability `share`, 0 ≤ share < 1."""
        self._matrices = [weights for name, weights in recurrent.named_parameters() if name.startswith("weight_hh")]
        self._keep = 1 - share
        self._whole: list[Tensor] = []
        self._masks: list[Tensor] = []

    @torch.no_grad()
    def drop(self) -> None:
        """Mask the weights; call before the forward pass."""
        if self._keep == 1:
            return
        self._masks = [torch.empty_like(weights).bernoulli_(self._keep).div_(self._keep) for weights in self._matrices]
        self._whole = [weights.detach().clone() for weights in self._matrices]
        for weights, mask in zip(self._matrices, self._masks, strict=True):
            weights.data.mul_(mask)  # .data: the backward pass is to see the masked weights

    @torch.no_grad()
    def restore(self) -> None:
        """Put the weights back and mask their gradients; call after the backward pass."""
        for weights, whole, mask in zip(self._matrices, self._whole, self._masks, strict=False):
            weights.data.copy_(whole)
            if weights.grad is not None:
                weights.grad.mul_(mask)
        self._whole, self._masks = [], []
