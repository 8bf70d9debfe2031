"""Generation as the article does it, and a tuned step in plain PyTorch: what ours is compared with.

The article's way: one-hot character → LSTM (2 × 512, batch of one) → linear → softmax → one of the top five, fed back.
The tuned step does what a careful programmer would in PyTorch: the input's product looked up by character, all gates
in one product, no module in between.

Legend: V vocabulary, H hidden units, L layers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from article_loop import ArticleNetwork

TOP = 5


class ArticleGenerator:
    """The article's network, asked for one character at a time."""

    def __init__(self, network: ArticleNetwork, seed: int = 1) -> None:
        """Write with `network`, without dropout."""
        self.network = network.eval()
        self._random = np.random.default_rng(seed)
        self._state: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def step(self, token: int) -> int:
        """Read a character and draw the next."""
        logits, self._state = self.network(torch.tensor([[token]]), self._state)
        probabilities = F.softmax(logits[0, -1], dim=0)
        best, places = probabilities.topk(TOP)
        weights = best.numpy().astype(np.float64)
        return int(self._random.choice(places.numpy(), p=weights / weights.sum()))


class TunedGenerator:
    """The same network, stepped by products of its weights alone."""

    def __init__(self, network: ArticleNetwork, seed: int = 1) -> None:
        """Take the weights of `network`."""
        lstm = network.lstm
        self._layers = [
            (getattr(lstm, f"weight_hh_l{layer}").detach().T.contiguous(), self._bias(network, layer))
            for layer in range(lstm.num_layers)
        ]
        self._inputs = [
            getattr(lstm, f"weight_ih_l{layer}").detach().T.contiguous() for layer in range(lstm.num_layers)
        ]
        self._output = (network.output.weight.detach().T.contiguous(), network.output.bias.detach())
        size = lstm.hidden_size
        self._state = [(torch.zeros(1, size), torch.zeros(1, size)) for _ in self._layers]
        self._random = np.random.default_rng(seed)

    @staticmethod
    def _bias(network: ArticleNetwork, layer: int) -> Tensor:
        ours, theirs = (getattr(network.lstm, f"bias_{kind}_l{layer}").detach() for kind in ("ih", "hh"))
        return torch.as_tensor(ours + theirs)

    @torch.no_grad()
    def step(self, token: int) -> int:
        """Read a character and draw the next of the top five."""
        below = self._inputs[0][token : token + 1]  # (1, 4H): a one-hot row's product is a row of the matrix
        for layer, (recurrent, bias) in enumerate(self._layers):
            if layer:
                below = below @ self._inputs[layer]
            hidden, cell = self._state[layer]
            entry, forget, candidate, output = torch.addmm(below + bias, hidden, recurrent).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
            below = output.sigmoid() * cell.tanh()
            self._state[layer] = (below, cell)
        weight, bias = self._output
        best, places = torch.addmm(bias, below, weight)[0].topk(TOP)
        weights = F.softmax(best, dim=0).numpy().astype(np.float64)
        return int(places[self._random.choice(TOP, p=weights / weights.sum())])
