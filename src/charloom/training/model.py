"""The network: a character in, a score for every possible next character out.

    ids → embedding or one-hot → dropout → recurrent layers (dropout between) → dropout → linear → logits

Dropout can last a window, and recurrent weights can be dropped, so that a network does not memorize a small text.
Legend: T time, B rows, V vocabulary, E embedding, H hidden units, L layers, D values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charloom.bundle import ModelShape
from charloom.kernel.layers import LayerKernel, open_layers
from charloom.training.recurrence import Inputs, read_layer


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

    The weights are masked in place, so that the fused kernels find them as they always do, and are put
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


TorchState = tuple[Tensor, ...]
"""The carried state: (h,) of shape (L, B, H), or (h, c) for an LSTM."""

_CELLS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_FUSED: dict[str, Callable[..., tuple[Tensor, ...]]] = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}


class CharacterModel(nn.Module):
    """A recurrent character-level language model."""

    def __init__(self, shape: ModelShape, input_dropout: float = 0.0, *, window_dropout: bool = True) -> None:
        """Build the network with fresh weights drawn from torch's global generator.

        Args:
            shape: the network.
            input_dropout: share of the first layer's input dropped while training.
            window_dropout: keep a dropout mask for a whole window instead of drawing one for every character.
        """
        super().__init__()
        self.shape = shape
        self._drops_inputs = input_dropout > 0
        dropout = WindowDropout if window_dropout else nn.Dropout
        self.embedding = nn.Embedding(shape.vocab_size, shape.embedding_size) if shape.embedding_size else None
        self.input_dropout = dropout(input_dropout)
        self.recurrent = _CELLS[shape.cell](shape.input_size, shape.hidden_size, shape.num_layers)
        self.dropout = dropout(shape.dropout)
        self.output = nn.Linear(shape.hidden_size, shape.vocab_size)
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        """Orthogonal recurrent matrices (Saxe et al., 2014), forget-gate bias 1 (Jozefowicz et al., 2015)."""
        hidden = self.shape.hidden_size
        for name, weights in self.recurrent.named_parameters():
            if name.startswith("weight_hh"):
                for gate in torch.split(weights, hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                for gate in torch.split(weights, hidden):
                    nn.init.xavier_uniform_(gate)
            else:
                nn.init.zeros_(weights)
                if self.shape.cell == "lstm" and name.startswith("bias_ih"):
                    weights[hidden : 2 * hidden] = 1  # PyTorch orders the gates input, forget, cell, output
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch: int) -> TorchState:
        """The state before any text: zeros, each (L, B, H)."""
        weights = self.output.weight
        zeros = weights.new_zeros(self.shape.num_layers, batch, self.shape.hidden_size)
        return (zeros,) * self.shape.states_per_layer

    def forward(self, ids: Tensor, state: TorchState) -> tuple[Tensor, TorchState]:
        """Read ids (T, B) from a state; return logits (T, B, V) and the state after the last one."""
        kernel = self._choose_kernel()
        if kernel is not None and not self._drops_inputs and self._is_table_shorter(ids):
            inputs = Inputs(None if self.embedding is None else self.embedding.weight, ids)
        else:
            inputs = Inputs(self.input_dropout(self._embed(ids)))
        if kernel is not None or (self.training and self.shape.num_layers > 1):
            hidden, after = self._layer_by_layer(inputs, state, kernel)
        else:
            hidden, last = self.recurrent(inputs.values, state if self.shape.cell == "lstm" else state[0])
            after = last if self.shape.cell == "lstm" else (last,)
        return self.output(self.dropout(hidden)), after

    def _embed(self, ids: Tensor) -> Tensor:
        """Ids (T, B) → what the first layer reads (T, B, E), one-hot (T, B, V)."""
        if self.embedding is None:
            return F.one_hot(ids, self.shape.vocab_size).to(self.output.weight.dtype)
        embedded: Tensor = self.embedding(ids)
        return embedded

    @cached_property
    def layer_kernel(self) -> LayerKernel | None:
        """The compiled kernel for the recurrent layers; set to None, PyTorch's own run them."""
        return open_layers(self.shape.cell, self.shape.hidden_size)

    @cached_property
    def bfloat16_kernel(self) -> LayerKernel | None:
        """The same for learning in bfloat16; where there is AMX, which it does not use, PyTorch's layers run."""
        if torch.cpu.get_capabilities().get("amx_bf16", False):
            return None
        return open_layers(self.shape.cell, self.shape.hidden_size, bfloat16=True)

    def _choose_kernel(self) -> LayerKernel | None:
        """The kernel for an update on the CPU; None where PyTorch's own layers must do."""
        weights = self.output.weight
        if not self.training or weights.device.type != "cpu" or weights.dtype != torch.float32:
            return None
        return self.bfloat16_kernel if torch.is_autocast_enabled("cpu") else self.layer_kernel

    def _is_table_shorter(self, ids: Tensor) -> bool:
        """Whether what each symbol gives the first layer takes less to compute than what each of ids (T, B) does."""
        return self.embedding is None or 2 * self.shape.vocab_size <= ids.numel()

    def _layer_by_layer(
        self, inputs: Inputs, state: TorchState, kernel: LayerKernel | None
    ) -> tuple[Tensor, TorchState]:
        """The recurrent layers one at a time, with dropout between them that a call for all would not share.

        What the first one reads and a state → (T, B, H) and the state after the last one.
        """
        hidden = torch.empty(0)
        ends: list[TorchState] = []
        for layer, weights in enumerate(self.recurrent.all_weights):
            if layer > 0:
                inputs = Inputs(self.dropout(hidden))
            before = tuple(part[layer : layer + 1].contiguous() for part in state)
            if kernel is not None:
                hidden, *after = read_layer(kernel, inputs, before, weights)
            else:
                start = before if self.shape.cell == "lstm" else before[0]
                fused = _FUSED[self.shape.cell]
                hidden, *after = fused(inputs.values, start, weights, True, 1, 0.0, self.training, False, False)
            ends.append(tuple(after))
        return hidden, tuple(torch.cat(parts) for parts in zip(*ends, strict=True))
