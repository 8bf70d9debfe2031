"""The network in numpy: what the compiled kernel does, to be read, and to be compared with bit for bit.

A hidden state h in [-1, 1] is the whole number q = round(127·h). A matrix's row is whole numbers from -63 to 63 and
a scale. So a product is a sum of whole numbers, which is exact in whatever order it is made, times scale / 127.
Everything else is an addition, a multiplication or a division of single values, which IEEE 754 defines to the last
bit; there is no function of a library in it. Sums that are not exact are made in the order of their indices.

With float32 weights the products are BLAS's, and the last digits are its own.

Legend: T time, B rows, V vocabulary, H hidden units, G gates, S states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import ModelShape
from charloom.kernel.sampling import Sampler, likelihoods, write_steps
from charloom.kernel.weights import Precision, Weights, lay_tensors
from charloom.settings import SamplingSettings

Array = NDArray[Any]
Floats = NDArray[np.float32]
State = tuple[Floats, ...]

_F = np.float32
# 2^f ≈ Σ c·f^k for -½ ≤ f ≤ ½, lowest power first: within 2·10⁻⁷ of itself.
_EXP2 = [_F(c) for c in (1.0, 6.931470036506653e-01, 2.4022242426872253e-01, 5.550733581185341e-02)]
_EXP2 += [_F(c) for c in (9.671512991189957e-03, 1.326472614891827e-03)]
_LOG2E = 1.4426950408889634


def quantize(matrix: Floats, levels: int) -> tuple[NDArray[np.int8], Floats]:
    """Each row of a matrix (O, I) as whole numbers from -levels to levels, and a scale (O,)."""
    scales = np.abs(matrix).max(axis=1).astype(np.float64) / levels
    scales[scales == 0] = 1.0
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales.astype(_F)


def _exp2(y: Array) -> Array:
    """2^y for -60 ≤ y ≤ 60, which y is brought to; NaN counts as 60."""
    y = np.where(y < _F(60), y, _F(60))
    y = np.where(y > _F(-60), y, _F(-60))
    whole = np.rint(y)
    f = y - whole
    square = f * f
    low, middle, high = (_EXP2[k + 1] * f + _EXP2[k] for k in (0, 2, 4))
    p = (high * square + middle) * square + low
    return np.asarray((p.view(np.int32) + (whole.astype(np.int32) << 23)).view(_F))


def _sigmoid_exp(x: Array) -> Array:
    """What sigmoid(x) = 1 / (1 + e) is made of."""
    return _exp2(x * _F(-_LOG2E))


def _tanh_exp(x: Array) -> Array:
    """What tanh(x) = (e - 1) / (e + 1) is made of."""
    return _exp2(x * _F(2 * _LOG2E))


@dataclass
class _Product:
    """A matrix (O, I) that multiplies hidden states; what is added to each of the O results."""

    matrix: Array
    scale: Floats | None
    add: Floats

    def __post_init__(self) -> None:
        if self.scale is not None:  # as floats the whole numbers' sums are exact too, and BLAS is fast
            exact = _F if self.matrix.shape[1] <= 2000 else np.float64
            self.matrix, self.scale = self.matrix.astype(exact), self.scale / _F(127)

    def __call__(self, hidden: Floats) -> Floats:
        """Hidden states (B, I) → (B, O)."""
        if self.scale is None:
            return np.asarray(hidden @ self.matrix.T + self.add)
        scaled = hidden * _F(127)
        whole = np.rint(np.where(scaled > _F(-127), np.minimum(scaled, _F(127)), _F(-127)))
        return np.asarray((whole.astype(self.matrix.dtype) @ self.matrix.T).astype(_F) * self.scale + self.add)


_quiet = np.errstate(over="ignore", invalid="ignore")  # of damaged weights: whoever asks looks at the logits


class ReferenceNetwork:
    """A network that numpy runs; its methods are those of `charloom.kernel.Network`."""

    @_quiet
    def __init__(self, shape: ModelShape, weights: Weights, precision: Precision = "int8") -> None:
        """Take the weights, by PyTorch's names."""
        self.shape = shape
        self.precision = precision
        tensors = lay_tensors(shape, weights, precision, quantize)
        self._layers: list[tuple[_Product | None, _Product]] = []
        for layer in range(shape.num_layers):
            below, below_scale, before, before_scale, bias, bias_before = tensors[1 + 6 * layer : 7 + 6 * layer]
            assert below is not None
            assert before is not None
            assert bias is not None
            assert bias_before is not None
            added, inner = bias + bias_before, np.zeros_like(bias_before)
            if shape.cell == "gru":  # the new gate's recurrent bias is added to what the reset gate multiplies
                new = slice(2 * shape.hidden_size, None)
                added[new], inner[new] = bias[new], bias_before[new]
            if layer == 0:
                self._table = self._make_table(tensors[0], below, below_scale, added)
            self._layers.append(
                (_Product(below, below_scale, added) if layer else None, _Product(before, before_scale, inner))
            )
        output, output_scale, output_bias = tensors[-3:]
        assert output is not None
        assert output_bias is not None
        self._output = _Product(output, output_scale, output_bias)

    def _make_table(self, embedding: Floats | None, below: Array, scale: Floats | None, add: Floats) -> Floats:
        """What each symbol gives the first layer's gates (V, G·H): sums in double, input by input."""
        sums = below.T.astype(np.float64)  # of one-hot inputs
        if embedding is not None:
            inputs, sums = sums, np.zeros((self.shape.vocab_size, len(add)))
            for k, weights in enumerate(inputs):
                sums = sums + embedding[:, k : k + 1].astype(np.float64) * weights
        factor = np.ones_like(add) if scale is None else scale
        return np.asarray(sums * factor.astype(np.float64) + add.astype(np.float64)).astype(_F)

    @_quiet
    def run(self, ids: Array, state: State, first: int = 0) -> tuple[Floats, State]:
        """Read ids (T, B) from a state of (B, H) arrays; return logits (T - first, B, V) and the state after."""
        after = list(state)
        logits = np.empty((max(0, len(ids) - first), ids.shape[1], self.shape.vocab_size), dtype=_F)
        per = self.shape.states_per_layer
        for step, row_ids in enumerate(ids):
            hidden = np.empty(0, dtype=_F)
            for layer, (below, before) in enumerate(self._layers):
                x = self._table[row_ids] if below is None else below(hidden)
                own = slice(per * layer, per * (layer + 1))
                after[own] = self._cell(x, before(after[per * layer]), after[own])
                hidden = after[per * layer]
            if step >= first:
                logits[step - first] = self._output(hidden)
        return logits, tuple(after)

    def _cell(self, x: Array, z: Array, state: Sequence[Array]) -> list[Array]:
        """What comes from below and from before (B, G·H) and the layer's state → its state after."""
        one, size = _F(1), self.shape.hidden_size
        if self.shape.cell == "rnn":
            e = _tanh_exp(z + x)
            return [(e - one) / (e + one)]
        if self.shape.cell == "gru":
            r, u = (one / (one + part) for part in np.split(_sigmoid_exp((z + x)[:, : 2 * size]), 2, axis=1))
            e = _tanh_exp(x[:, 2 * size :] + r * z[:, 2 * size :])
            n = (e - one) / (e + one)
            return [n + u * (state[0] - n)]
        i, f, g, o = np.split(z + x, 4, axis=1)
        i, f, g, o = _sigmoid_exp(i), _sigmoid_exp(f), _tanh_exp(g), _sigmoid_exp(o)
        cell = (one / (one + f)) * state[1] + (g - one) / ((one + i) * (g + one))
        e = _tanh_exp(cell)
        return [(e - one) / ((one + o) * (e + one)), cell]

    def read(self, ids: Array, state: State) -> tuple[Floats, State]:
        """Read ids (T, B) from a state; return logits (B, V) and the state, both after the last one."""
        logits, state = self.run(ids, state, len(ids) - 1)
        return logits[0], state

    def write(
        self,
        ids: Array,
        state: State,
        uniforms: NDArray[np.float64],
        sampling: Sequence[SamplingSettings],
        unknown_id: int | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], State]:
        """Read ids (B,), draw the next, and so on for T steps of uniforms (T, B); see `charloom.kernel.Network`."""
        sampler = Sampler(sampling, unknown_id)
        return write_steps(lambda ids, state: self.read(ids[None], state), ids, state, uniforms, sampler, allowed)

    def nats(self, ids: Array, targets: Array, state: State) -> tuple[NDArray[np.float64], State]:
        """Read ids (T, B) from a state; -ln p of targets (T, B), NaN where logits are not finite, and the state."""
        logits, state = self.run(ids, state)
        return nats_of(logits, targets), state


def nats_of(logits: Floats, targets: Array) -> NDArray[np.float64]:
    """-ln p of targets (T, B) by logits (T, B, V); NaN where these are not all finite."""
    lost = np.logical_not(np.isfinite(logits).all(axis=-1, keepdims=True))
    scores = np.where(lost, 0.0, logits.astype(np.float64))
    scores -= scores.max(axis=-1, keepdims=True)
    totals = np.cumsum(likelihoods(scores), axis=-1)[..., -1]  # one after another, as the kernel adds
    nats = _log(totals) - np.take_along_axis(scores, np.asarray(targets)[..., None], axis=-1)[..., 0]
    return np.where(lost[..., 0], np.nan, nats)


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ln x of finite x ≥ 1: x = 2^k·m with √½ ≤ m < √2, ln m = 2·atanh(s), s = (m - 1) / (m + 1)."""
    bits = np.ascontiguousarray(x).view(np.int64)
    power = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = (bits - (power << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    square, p = s * s, np.full_like(s, 1.0 / 21)
    for n in range(19, 0, -2):
        p = p * square + 1.0 / n
    return np.asarray(power * 0.6931471805599453 + 2.0 * s * p)
