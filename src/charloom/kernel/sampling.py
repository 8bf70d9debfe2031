"""From logits to a character: pure functions in one documented order.

    temperature → top-k → top-p → min-p → draw

Legend: B rows, V vocabulary. Weights (B, V) in float64 say how likely each character is, and need not sum to one. A
filter zeroes what it drops. Temperature 0 is the likeliest character (ties: the lowest id), whatever the filters say.
What a row gets never depends on its neighbours, to the bit. The compiled kernel draws the same: the exponential is a
polynomial, and sums are made in the order of the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids

Weights = NDArray[np.float64]
Logits = NDArray[np.float32]
State = tuple[NDArray[np.float32], ...]

_LOG2E = 1.4426950408889634
# 2^f ≈ Σ c·f^k for -½ ≤ f ≤ ½, highest power first.
_EXP2 = (
    *(1.3691488853904124e-12, 2.5678435993488196e-11, 4.44553827187081e-10, 7.054911620801121e-09),
    *(1.0178086009239696e-07, 1.3215486790144305e-06, 1.5252733804059838e-05, 0.00015403530393381606),
    *(0.0013333558146428441, 0.009618129107628477, 0.055504108664821576, 0.2402265069591007),
    *(0.6931471805599453, 1.0),
)


def likelihoods(scores: Weights, temperature: float | Weights = 1.0) -> Weights:
    """e^(score / temperature) of scores that are at most 0, the largest of which is 0; below 2^-1000 it is 0."""
    with np.errstate(over="ignore"):  # temperatures near 0 take scores to −∞
        y = scores / temperature * _LOG2E
    kept = np.where(y > -1000.0, y, -1000.0)
    whole = np.rint(kept)
    f = kept - whole
    p = np.full_like(f, _EXP2[0])
    for coefficient in _EXP2[1:]:
        p *= f
        p += coefficient
    return np.where(y > -1000.0, (p.view(np.int64) + (whole.astype(np.int64) << 52)).view(np.float64), 0.0)


class Sampler:
    """The sampling settings of rows side by side."""

    def __init__(self, settings: Sequence[SamplingSettings], unknown_id: int | None) -> None:
        """Lay out the settings of B rows; the unknown character is never generated."""
        temperatures = np.array([row.temperature for row in settings])
        self._unknown_id = unknown_id
        self._greedy = np.flatnonzero(temperatures == 0)
        self._temperatures = np.where(temperatures == 0, 1.0, temperatures)[:, None]
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

        A row whose logits are not all finite gets no weight at all.

        Args:
            logits: the network's.
            allowed: the only characters that may come, (B, V), at least one a row beside the unknown; None = all.
        """
        lost = _without_numbers(logits)
        scores = logits.astype(np.float64)
        if lost is not None:
            scores[lost] = 0
        if self._unknown_id is not None:
            scores[:, self._unknown_id] = -np.inf
        if allowed is not None:
            scores[~allowed] = -np.inf
        # Shifted first, so that a temperature near zero takes the others to −∞ and never the likeliest to +∞.
        scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
        weights = likelihoods(scores, self._temperatures)
        for keep, rows, values in self._filters:
            weights[rows] = keep(weights[rows], values)
        if len(self._greedy):
            weights[self._greedy] = _likeliest(scores[self._greedy])
        if lost is not None:
            weights[lost] = 0
        return weights


def _without_numbers(logits: Logits) -> NDArray[np.intp] | None:
    """The rows of logits (B, V) with NaN or infinities; None where there is none, which is nearly always."""
    finite = np.isfinite(logits)
    return None if finite.all() else np.flatnonzero(~finite.all(axis=-1))


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
    before = np.zeros_like(descending)  # the sum above each character in the ranking
    np.cumsum(descending[:, :-1], axis=-1, out=before[:, 1:])
    total = np.cumsum(weights, axis=-1)[:, -1:]
    return top_k(weights, np.maximum(1, (before < _one_a_row(p) * total).sum(axis=-1)))


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
    size = weights.shape[-1]
    for row in np.flatnonzero(ids == size):
        if cumulative[row, -1]:  # rounding has put the target at the very end
            ids[row] = np.flatnonzero(weights[row])[-1]
    return ids


def write_steps(
    read: Callable[[Ids, State], tuple[Logits, State]],
    ids: Ids,
    state: State,
    uniforms: NDArray[np.float64],
    sampler: Sampler,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], State]:
    """Read ids (B,), draw the next, and so on for T steps of uniforms (T, B), by a function that reads one step.

    Returns:
        What was drawn (T, B), V in a row without finite logits, whose later ids mean nothing; and the state.
    """
    written = np.empty(uniforms.shape, dtype=np.int64)
    for step, row_uniforms in enumerate(uniforms):
        logits, state = read(ids, state)
        written[step] = draw(sampler.weights(logits, allowed), row_uniforms)
        ids = np.where(written[step] < logits.shape[1], written[step], 0)
    return written, state


def _likeliest(scores: NDArray[np.float64]) -> Weights:
    result = np.zeros_like(scores)
    result[np.arange(len(scores)), scores.argmax(axis=-1)] = 1
    return result


def _one_a_row(value: ArrayLike) -> NDArray[Any]:
    return np.reshape(np.asarray(value), (-1, 1))
