"""The network: a character in, a score for every possible next character out.

    ids → embedding or one-hot → recurrent layers (dropout between) → dropout → linear → logits

Legend: T time, B rows, V vocabulary, E embedding, H hidden units, L layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charloom.bundle import ModelShape

TorchState = tuple[Tensor, ...]
"""The carried state: (h,) of shape (L, B, H), or (h, c) for an LSTM."""

_CELLS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class CharacterModel(nn.Module):
    """A recurrent character-level language model."""

    def __init__(self, shape: ModelShape) -> None:
        """Build the network with fresh weights drawn from torch's global generator."""
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.embedding_size) if shape.embedding_size else None
        between = shape.dropout if shape.num_layers > 1 else 0.0
        self.recurrent = _CELLS[shape.cell](shape.input_size, shape.hidden_size, shape.num_layers, dropout=between)
        self.dropout = nn.Dropout(shape.dropout)
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
        if self.embedding is not None:
            inputs = self.embedding(ids)  # (T, B, E)
        else:
            inputs = F.one_hot(ids, self.shape.vocab_size).to(self.output.weight.dtype)  # (T, B, V)
        hidden, after = self.recurrent(inputs, state if self.shape.cell == "lstm" else state[0])
        logits = self.output(self.dropout(hidden))
        return logits, after if self.shape.cell == "lstm" else (after,)
