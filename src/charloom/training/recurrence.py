"""Recurrent layers on the CPU by the compiled kernel: faster than PyTorch's LSTM, several times as fast as its GRU.

What is one product for all steps is PyTorch's; what goes step by step is the kernel's (`kernel/layers.c`).

Legend: T time, B rows, I inputs, V symbols, H hidden units, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charloom.kernel.layers import Floats, LayerKernel


class Inputs(NamedTuple):
    """What a layer reads.

    Attributes:
        values: (T, B, I); or with `ids` those of each symbol (V, I), None where they are one-hot.
        ids: (T, B), int64.
    """

    values: Tensor | None
    ids: Tensor | None = None


def read_layer(
    kernel: LayerKernel, inputs: Inputs, state: tuple[Tensor, ...], weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Read all steps in one layer, as `torch.lstm`, `torch.gru` and `torch.rnn_tanh` do.

    Args:
        kernel: for its cell and size.
        inputs: what it reads.
        state: h, and c of an LSTM, each (1, B, H).
        weights: weight_ih (G·H, I), weight_hh (G·H, H), bias_ih and bias_hh (G·H,), float32 on the CPU.

    Returns:
        The hidden states (T, B, H) and the state after the last step. Gradients can be computed once.
    """
    cells = state[1] if kernel.cell == "lstm" else None
    with torch.autocast("cpu", enabled=False):
        hidden, *after = _Layer.apply(kernel, *inputs, *weights, state[0], cells)  # type: ignore[no-untyped-call]
    return (hidden, *after[: len(state)])


class _Layer(torch.autograd.Function):
    """The gates of all steps become their gradients, in the same memory, which is used again by the next update."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: LayerKernel,
        values: Tensor | None,
        ids: Tensor | None,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        first: Tensor,
        first_cells: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        steps, rows = cast("Tensor", values if ids is None else ids).shape[:2]
        width, units = weight_hh.shape
        take = kernel.memory.take
        gates = take(steps, rows, width)
        inner = None if kernel.cell == "rnn" else take(steps, rows, units)
        cells = None if first_cells is None else take(steps + 1, rows, units)
        hidden = weight_hh.new_empty(steps + 1, rows, units)
        hidden[0] = first[0]
        if cells is not None:
            torch.from_numpy(cells[0]).copy_(cast("Tensor", first_cells)[0])
        bias, new_bias = _split_bias(kernel, bias_ih, bias_hh)
        below = _below(kernel, values, ids, weight_ih, bias, gates)
        kernel.forward(
            *(_array(weight_hh), below, None if ids is None else ids.contiguous().numpy(), new_bias, _array(hidden)),
            *(cells, None if inner is None else gates, inner),
            threads=torch.get_num_threads(),
        )
        ctx.save_for_backward(values, ids, weight_ih, weight_hh)
        ctx.kernel, ctx.hidden, ctx.memory = kernel, hidden, (cells, gates, inner)
        last_cells = None if cells is None else torch.from_numpy(cells[-1:]).clone()
        return hidden[1:], hidden[-1:].clone(), last_cells

    @staticmethod
    def backward(ctx: Any, of_hidden: Tensor, of_last: Tensor, of_last_cells: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the gradients of this layer have no gradients: leave out create_graph")
        if ctx.memory is None:
            raise RuntimeError("the gradients of this layer were computed before, and its memory is used by others")
        kernel, (cells, gates, inner) = ctx.kernel, ctx.memory
        values, ids, weight_ih, weight_hh = ctx.saved_tensors
        of_first = _array(of_last[0].clone())
        of_cells = None if of_last_cells is None or cells is None else _array(of_last_cells[0].clone())
        recurrent = kernel.memory.take(*gates.shape) if kernel.cell == "gru" else None
        kernel.backward(
            *(_array(weight_hh), _array(of_hidden), of_first, of_cells),
            *(_array(ctx.hidden), cells, gates, inner, recurrent),
            threads=torch.get_num_threads(),
        )
        of_below = torch.from_numpy(gates).flatten(0, 1)
        of_recurrent = of_below if recurrent is None else torch.from_numpy(recurrent).flatten(0, 1)
        left = _factor(kernel, of_below)
        left_of_recurrent = left if recurrent is None else _factor(kernel, of_recurrent)
        of_weight_hh = (left_of_recurrent.t() @ _factor(kernel, ctx.hidden[:-1].flatten(0, 1))).float()
        if ids is not None:
            symbols = weight_ih.shape[1] if values is None else len(values)
            of_below = weight_hh.new_zeros(symbols, gates.shape[2]).index_add_(0, ids.flatten(), of_below)
            left = _factor(kernel, of_below)
        of_bias_ih = of_below.sum(0)
        of_bias_hh = of_bias_ih.clone()
        if recurrent is not None:
            of_bias_hh[2 * kernel.hidden_size :] = of_recurrent[:, 2 * kernel.hidden_size :].sum(0)
        of_weight_ih, of_values = of_below.t(), None
        if values is not None:
            of_weight_ih = (left.t() @ _factor(kernel, values.flatten(0, -2))).float()
        if ctx.needs_input_grad[1]:
            of_values = (left @ _factor(kernel, weight_ih)).float().view_as(values)
        ctx.memory = None
        kernel.memory.give(cells, gates, inner, recurrent)
        states = torch.from_numpy(of_first)[None], None if of_cells is None else torch.from_numpy(of_cells)[None]
        return None, of_values, None, of_weight_ih, of_weight_hh, of_bias_ih, of_bias_hh, *states


def _array(tensor: Tensor) -> Floats:
    return cast("NDArray[np.float32]", tensor.detach().contiguous().numpy())


def _split_bias(kernel: LayerKernel, bias_ih: Tensor, bias_hh: Tensor) -> tuple[Tensor, Floats | None]:
    """The bias that reaches the gates with the inputs (G·H,), and that of a GRU's new gate from before (H,)."""
    if kernel.cell != "gru":
        return bias_ih + bias_hh, None
    bias = bias_ih.clone()
    bias[: 2 * kernel.hidden_size] += bias_hh[: 2 * kernel.hidden_size]
    return bias, _array(bias_hh[2 * kernel.hidden_size :])


def _factor(kernel: LayerKernel, tensor: Tensor) -> Tensor:
    """What a product for all steps reads."""
    return tensor.bfloat16() if kernel.bfloat16 else tensor


def _below(
    kernel: LayerKernel, values: Tensor | None, ids: Tensor | None, weight_ih: Tensor, bias: Tensor, gates: Floats
) -> Floats:
    """What reaches the gates from the inputs: of each symbol (V, G·H), else of each step, in the gates' memory."""
    if values is None:
        return _array(weight_ih.t() + bias)
    product = _factor(kernel, values.flatten(0, -2)) @ _factor(kernel, weight_ih.t())
    if ids is not None:
        return _array(product + bias)
    torch.add(product, bias, out=torch.from_numpy(gates).flatten(0, 1))
    return gates
