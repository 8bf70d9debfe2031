"""A recurrent layer in training: the compiled kernel's forward and backward pass, step by step.

The product of the inputs and the gradients of the weights, each one large product for all steps, are the caller's.

Legend: T steps, B rows, H hidden units, G gates, V rows of a table.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CharloomError, UsageError
from charloom.kernel.native import ALIGNMENT, CELLS, MICRO_VARIABLE, NUMPY, Library, address, check, kernel
from charloom.settings import Cell

Floats = NDArray[np.float32]
Tensors = Sequence[Floats | NDArray[np.int64] | None]

LAYER = np.dtype([("cell", "i4"), ("hidden", "i4"), ("steps", "i8"), ("rows", "i8"), ("bfloat16", "i8")])
"""`charloom_layer`."""

_FAST = ("avx512vnni", "avx2")  # measured to be faster than PyTorch's own layers
_FORWARD, _BACKWARD = 0, 1
_ROWS = 4  # that a thread has at least: a tile of sums in registers
_WORK = 10_000_000  # multiplications that a thread has at least, about half a millisecond


class Memory:
    """Arrays whose memory is used again: the system takes long to clear fresh memory, page by page.

    Blocks come in few sizes, so that a window that is one character shorter has the same.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}

    def take(self, *shape: int) -> Floats:
        """An array of any values."""
        size = 4 * math.prod(shape)
        step = 1 << max(0, size.bit_length() - 4)
        rounded = -(-size // step) * step + ALIGNMENT
        try:
            block = self._free[rounded].pop()
        except (KeyError, IndexError):  # no look before: another thread may take the last one
            block = np.empty(rounded, np.uint8)
        offset = -address(block) % ALIGNMENT
        return block[offset : offset + size].view(np.float32).reshape(shape)

    def give(self, *arrays: Floats | None) -> None:
        """Return arrays that are not used any more."""
        for array in arrays:
            if array is not None:
                block = cast("NDArray[np.uint8]", array.base)  # numpy has a view point to the whole
                self._free.setdefault(block.size, []).append(block)


class LayerKernel:
    """Runs recurrent layers of a cell and size; holds the memory for that between calls."""

    def __init__(
        self,
        cell: Cell,
        hidden_size: int,
        *,
        bfloat16: bool = False,
        micro: str | None = None,
        library: Library | None = None,
    ) -> None:
        """Prepare for layers of H units.

        Args:
            cell: of the layers.
            hidden_size: H.
            bfloat16: round what the recurrent products read to bfloat16; all else is float32 all the same.
            micro: the micro-kernel; if not given, CHARLOOM_KERNEL's, or the fastest.
            library: the compiled kernel; this machine's if not given.

        Raises:
            UsageError: this processor has no such micro-kernel.
            CharloomError: there is no compiled kernel, or with `bfloat16` it or the processor has none.
        """
        self.cell, self.hidden_size, self.bfloat16 = cell, hidden_size, bfloat16
        self.memory = Memory()
        self._library = library or kernel()
        self._micro = self._library.choose(micro)
        check(self._library.layer_panel_bytes(address(self._describe()), _FORWARD, self._micro))

    def forward(
        self,
        weights: Floats,
        below: Floats,
        ids: NDArray[np.int64] | None,
        bias: Floats | None,
        hidden: Floats,
        cells: Floats | None,
        gates: Floats | None,
        inner: Floats | None,
        *,
        threads: int = 1,
    ) -> None:
        """Read all steps.

        Args:
            weights: the recurrent ones (G·H, H), in PyTorch's order of gates.
            below: what reaches the gates from the layer's inputs, biases included (T, B, G·H); with `ids` a table of
                it (V, G·H).
            ids: rows of the table (T, B).
            bias: (H,) that the new gate of a GRU adds to what comes from before; not among `below`.
            hidden: (T + 1, B, H), the first step given, the others written.
            cells: of an LSTM, likewise.
            gates: (T, B, G·H), written; may be `below`; None for an RNN.
            inner: (T, B, H), written: tanh of an LSTM's cells, of a GRU what its new gate gets from before; None for
                an RNN.
            threads: that share the rows.

        Raises:
            CharloomError: an array has not the size that the others give it, or an id is in no row of the table.
        """
        steps, rows = hidden.shape[0] - 1, hidden.shape[1]
        tensors = (below, ids, bias, hidden, cells, gates, inner)
        self._run(_FORWARD, self._library.layer_forward, steps, rows, weights, tensors, threads)

    def backward(
        self,
        weights: Floats,
        of_hidden: Floats,
        of_last: Floats,
        of_cells: Floats | None,
        hidden: Floats,
        cells: Floats | None,
        gates: Floats,
        inner: Floats | None,
        of_recurrent: Floats | None,
        *,
        threads: int = 1,
    ) -> None:
        """The gradients of a forward pass.

        Args:
            weights: as in the forward pass.
            of_hidden: the gradient of the hidden states (T, B, H).
            of_last: of the last one (B, H); becomes that of the first.
            of_cells: of an LSTM's last cells (B, H); likewise.
            hidden: as the forward pass left them.
            cells: likewise.
            gates: likewise, of an RNN anything; become the gradient of `below` (T, B, G·H).
            inner: likewise.
            of_recurrent: of a GRU, the gradient of what comes from before (T, B, G·H), written; of others `gates` is.
            threads: that share the rows.

        Raises:
            CharloomError: an array has not the size that the others give it.
        """
        steps, rows = hidden.shape[0] - 1, hidden.shape[1]
        tensors = (of_hidden, of_last, of_cells, hidden, cells, gates, inner, of_recurrent)
        self._run(_BACKWARD, self._library.layer_backward, steps, rows, weights, tensors, threads)

    def _run(
        self,
        direction: int,
        function: Callable[..., int],
        steps: int,
        rows: int,
        weights: Floats,
        tensors: Tensors,
        threads: int,
    ) -> None:
        layer = self._describe(steps, rows)
        panels = self._pack(direction, layer, weights)
        arrays = (panels, *tensors)
        _check_arrays(arrays)
        places = (ctypes.c_void_p * len(arrays))(*[None if one is None else address(one) for one in arrays])
        sizes = (ctypes.c_int64 * len(arrays))(*[0 if one is None else one.nbytes for one in arrays])

        def run_rows(cut: tuple[int, int]) -> int:
            needed = check(self._library.layer_work_bytes(address(layer), direction, self._micro, cut[1] - cut[0]))
            work = self.memory.take(needed // 4)
            rest = (len(arrays), *cut, address(work), work.nbytes)
            result = function(address(layer), self._micro, places, sizes, *rest)
            self.memory.give(work)
            return result

        own, *others = _share_rows(rows, min(threads, steps * rows * weights.size // _WORK))
        jobs = [_workers(os.getpid(), len(others)).submit(run_rows, cut) for cut in others]
        results = [run_rows(own), *(job.result() for job in jobs)]
        self.memory.give(panels)
        for result in results:
            check(result)

    def _describe(self, steps: int = 0, rows: int = 0) -> NDArray[np.void]:
        return np.array((CELLS.index(self.cell), self.hidden_size, steps, rows, self.bfloat16), dtype=LAYER)

    def _pack(self, direction: int, layer: NDArray[np.void], weights: Floats) -> Floats:
        """The recurrent weights as a pass reads them."""
        _check_arrays((weights,))
        described = (address(layer), direction, self._micro)
        panels = self.memory.take(check(self._library.layer_panel_bytes(*described)) // 4)
        check(self._library.pack_layer(*described, address(weights), weights.nbytes, address(panels), panels.nbytes))
        return panels


def open_layers(cell: Cell, hidden_size: int, *, bfloat16: bool = False) -> LayerKernel | None:
    """The kernel for the layers of a network in training, where it is faster than PyTorch.

    The variable CHARLOOM_KERNEL names a micro-kernel that must run them, or `numpy`: none.

    Raises:
        UsageError: CHARLOOM_KERNEL names what this processor cannot run.
        CharloomError: CHARLOOM_KERNEL names a micro-kernel, and there is no compiled kernel.
    """
    wanted = os.environ.get(MICRO_VARIABLE)
    if wanted == NUMPY or cell not in CELLS:
        return None
    try:
        fastest = next(iter(kernel().micro_kernels()))
        return LayerKernel(cell, hidden_size, bfloat16=bfloat16) if wanted or fastest in _FAST else None
    except UsageError:
        raise
    except CharloomError:
        if wanted and not bfloat16:
            raise
        return None


def _check_arrays(arrays: Tensors) -> None:
    """The kernel reads arrays as they lie."""
    for array in arrays:
        if array is not None and not (array.flags.c_contiguous and array.dtype in (np.float32, np.int64)):
            raise CharloomError(f"an array of {array.dtype} {array.shape} is not float32 or int64, or has gaps")


def _share_rows(rows: int, threads: int) -> list[tuple[int, int]]:
    """The rows of each thread, in whole tiles."""
    tiles = -(-rows // _ROWS)
    count = max(1, min(threads, tiles))
    ends = [min(rows, _ROWS * (tiles * index // count)) for index in range(count + 1)]
    return list(pairwise(ends))


@cache
def _workers(process: int, count: int) -> ThreadPoolExecutor:
    """The threads of a process; a fork has none of its parent's."""
    return ThreadPoolExecutor(count, f"charloom-layers-{process}")
