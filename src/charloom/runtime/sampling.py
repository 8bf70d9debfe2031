"""From logits to a character: pure functions in one documented order.

    temperature → top-k → top-p → min-p → draw

Legend: B rows, V vocabulary. Weights (B, V) in float64 say how likely each character is, and need not sum to one. A
filter zeroes what it drops. Temperature 0 is the likeliest character (ties: the lowest id), whatever the filters say.
What a row gets never depends on its neighbours, to the bit.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charloom.runtime.session import Logits
from charloom.settings import SamplingSettings

Weights = NDArray[np.float64]

_TINY = 1e-290  # temperatures below it can take a score to −∞


class Sampler:
    """The sampling settings of rows side by side."""

    def __init__(self, settings: Sequence[SamplingSettings], unknown_id: int | None) -> None:
        """Lay out the settings of B rows; the unknown character is never generated."""
        temperatures = np.array([row.temperature for row in settings])
        self._unknown_id = unknown_id
        self._greedy = np.flatnonzero(temperatures == 0)
        self._temperatures = np.where(temperatures == 0, 1.0, temperatures)[:, None]
        self._overflows = bool(np.any(self._temperatures < _TINY))
        self._filters: list[tuple[Filter, slice | NDArray[np.intp], ArrayLike]] = []
        for keep, name, off in _FILTERS:
            values = np.array([getattr(row, name) for row in settings])
            using = np.flatnonzero(values != off)
            if not len(using):
                continue
            if len(using) == len(settings) and np.all(values == values[0]):
                self._filters.append((keep, slice(None), values[0]))  # one number for all is faster
            else:
                self._filters.append((keep, using, values[using]))

    def weights(self, logits: Logits, allowed: NDArray[np.bool_] | None = None) -> Weights:
        """The weights the next characters are drawn by: logits (B, V) → (B, V).

        A row whose likeliest character has no finite logit gets no weight at all.

        Args:
            logits: the network's.
            allowed: the only characters that may come, (B, V), at least one a row beside the unknown; None = all.
        """
        scores = logits.astype(np.float64)
        if self._unknown_id is not None:
            scores[:, self._unknown_id] = -np.inf
        if allowed is not None:
            scores[~allowed] = -np.inf
        # Shifted first, so that a temperature near zero takes the others to −∞ and never the likeliest to +∞.
        largest = np.maximum.reduce(scores, axis=-1, keepdims=True)
        lost = _without_numbers(largest)
        if lost is not None:
            scores[lost] = largest[lost] = 0
        scores -= largest
        with np.errstate(over="ignore") if self._overflows else contextlib.nullcontext():
            weights = np.exp(scores / self._temperatures)
        for keep, rows, values in self._filters:
            weights[rows] = keep(weights[rows], values)
        if len(self._greedy):
            weights[self._greedy] = _likeliest(scores[self._greedy])
        if lost is not None:
            weights[lost] = 0
        return weights


def _without_numbers(largest: Weights) -> NDArray[np.intp] | None:
    """The rows whose largest score (B, 1) is NaN or infinite; None where there is none, which is nearly always."""
    if all(map(math.isfinite, largest.ravel().tolist())):  # for few rows far faster than numpy's functions
        return None
    return np.flatnonzero(~np.isfinite(largest))


def next_probabilities(logits: Logits, settings: SamplingSettings, unknown_id: int | None) -> Weights:
    """The distribution the next character is drawn from where all rows have the same settings: (B, V) → (B, V)."""
    weights = Sampler([settings] * len(logits), unknown_id).weights(logits)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def top_k(weights: Weights, k: ArrayLike) -> Weights:
    """Keep the k likeliest characters (of equals, the lowest ids); k ≥ 1 is one number or one a row."""
    size = weights.shape[-1]
    at_most = np.minimum(k, size)
    if at_most.ndim == 0:
        least = np.partition(weights, size - at_most, axis=-1)[:, size - at_most, None]
    else:
        least = np.sort(weights, axis=-1)[np.arange(len(weights)), size - at_most][:, None]
    kept = weights >= least
    if np.count_nonzero(kept) > np.broadcast_to(at_most, len(weights)).sum():  # several are just as likely as the last
        above = weights > least
        room = at_most - above.sum(axis=-1)
        equal = weights == least
        kept = above | (equal & (np.cumsum(equal, axis=-1) <= room[:, None]))
    return np.where(kept, weights, 0.0)


def top_p(weights: Weights, p: ArrayLike) -> Weights:
    """Keep the fewest likeliest characters whose share of the whole reaches p (Holtzman et al., 2020)."""
    descending = np.sort(weights, axis=-1)[:, ::-1]
    through = np.cumsum(descending, axis=-1)
    before = through - descending  # the sum above each character in the ranking
    return top_k(weights, (before < _one_a_row(p) * through[:, -1:]).sum(axis=-1))


def min_p(weights: Weights, share: ArrayLike) -> Weights:
    """Keep characters at least `share` times as likely as the likeliest one (Nguyen et al., 2024)."""
    return np.where(weights >= _one_a_row(share) * weights.max(axis=-1, keepdims=True), weights, 0.0)


Filter = Callable[[Weights, ArrayLike], Weights]

_FILTERS: tuple[tuple[Filter, str, float], ...] = (  # in the documented order, with the value that switches each off
    (top_k, "top_k", 0),
    (top_p, "top_p", 1.0),
    (min_p, "min_p", 0.0),
)


def draw(weights: Weights, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one id a row by inverting the cumulative distribution at `uniforms` (B,), each in [0, 1).

    A row without any weight gets V, which is the id of no character.
    """
    cumulative = np.add.accumulate(weights, axis=-1)
    targets = uniforms[:, None] * cumulative[:, -1:]
    ids: NDArray[np.int64] = np.add.reduce(cumulative <= targets, axis=-1, dtype=np.int64)
    return ids


def _likeliest(scores: NDArray[np.float64]) -> Weights:
    result = np.zeros_like(scores)
    result[np.arange(len(scores)), scores.argmax(axis=-1)] = 1
    return result


def _one_a_row(value: ArrayLike) -> NDArray[Any]:
    return np.reshape(np.asarray(value), (-1, 1))
