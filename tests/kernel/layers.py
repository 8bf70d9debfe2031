"""Random layers in training, for the tests of the kernel's passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.bundle.config import GATES
from charloom.kernel.layers import LayerKernel
from charloom.settings import Cell

Floats = NDArray[np.float32]


@dataclass
class Layer:
    """What both passes of a layer are given; what they write is made by `run`."""

    cell: Cell
    weights: Floats
    below: Floats
    bias: Floats | None
    first: Floats
    first_cells: Floats | None
    of_hidden: Floats
    ids: NDArray[np.int64] | None = None

    @classmethod
    def random(cls, cell: Cell, steps: int, rows: int, hidden: int, seed: int = 0) -> Layer:
        """A layer whose every number is drawn."""
        generator = np.random.default_rng(seed)

        def draw(*shape: int, scale: float = 1.0) -> Floats:
            return (scale * generator.standard_normal(shape)).astype(np.float32)

        width = GATES[cell] * hidden
        return cls(
            cell=cell,
            weights=draw(width, hidden, scale=hidden**-0.5),
            below=draw(steps, rows, width),
            bias=draw(hidden) if cell == "gru" else None,
            first=draw(rows, hidden, scale=0.5),
            first_cells=draw(rows, hidden, scale=0.5) if cell == "lstm" else None,
            of_hidden=draw(steps, rows, hidden),
        )

    def of_rows(self, rows: slice) -> Layer:
        """Some of the rows."""
        cells = None if self.first_cells is None else self.first_cells[rows].copy()
        below, first = self.below[:, rows].copy(), self.first[rows].copy()
        return Layer(self.cell, self.weights, below, self.bias, first, cells, self.of_hidden[:, rows].copy())

    def run(self, kernel: LayerKernel, threads: int = 1) -> list[Floats]:
        """Both passes: hidden states and cells with the rows first, the gradients of the gates and the first states."""
        steps, rows, hidden = self.of_hidden.shape
        states = np.full((steps + 1, rows, hidden), np.nan, np.float32)
        states[0] = self.first
        cells = None
        if self.first_cells is not None:
            cells = np.full_like(states, np.nan)
            cells[0] = self.first_cells
        gates = np.full((steps, rows, len(self.weights)), np.nan, np.float32)
        inner = None if self.cell == "rnn" else np.full_like(self.of_hidden, np.nan)
        written = None if self.cell == "rnn" else gates
        kernel.forward(self.weights, self.below, self.ids, self.bias, states, cells, written, inner, threads=threads)
        of_last, of_cells = np.ones((rows, hidden), np.float32), None if cells is None else np.ones_like(cells[0])
        recurrent = np.full_like(gates, np.nan) if self.cell == "gru" else None
        kernel.backward(
            *(self.weights, self.of_hidden, of_last, of_cells, states, cells, gates, inner, recurrent),
            threads=threads,
        )
        found = [states.swapaxes(0, 1), gates.swapaxes(0, 1), of_last]
        found += [] if cells is None or of_cells is None else [cells.swapaxes(0, 1), of_cells]
        return found + ([] if recurrent is None else [recurrent.swapaxes(0, 1)])
