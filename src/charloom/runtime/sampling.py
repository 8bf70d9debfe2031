"""From logits to a character: pure functions in one documented order.

    temperature → top-k → top-p → min-p → draw

Legend: B rows, V vocabulary. Every function takes and returns probabilities (B, V) in float64, rows summing to
one; a filter zeroes what it drops and rescales the rest. Temperature 0 is the likeliest character (ties:
the lowest id), whatever the filters say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.session import Logits
from charloom.settings import SamplingSettings

Probabilities = NDArray[np.float64]


def next_probabilities(logits: Logits, settings: SamplingSettings, unknown_id: int | None) -> Probabilities:
    """The distribution the next character is drawn from: logits (B, V) → (B, V).

    The unknown character is masked first: it is never generated.
    """
    logits64 = logits.astype(np.float64)
    if unknown_id is not None:
        logits64[:, unknown_id] = -np.inf
    if settings.temperature == 0:
        return _likeliest(logits64)
    # Shifted first, so that a temperature near zero takes the others to −∞ and never the likeliest to +∞.
    with np.errstate(over="ignore"):
        scaled = (logits64 - logits64.max(axis=-1, keepdims=True)) / settings.temperature
    probabilities = softmax(scaled)
    probabilities = top_k(probabilities, settings.top_k)
    probabilities = top_p(probabilities, settings.top_p)
    return min_p(probabilities, settings.min_p)


def softmax(logits: NDArray[np.float64]) -> Probabilities:
    """exp(x) / Σ exp(x) over the last axis, shifted by the maximum so that nothing overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def top_k(probabilities: Probabilities, k: int) -> Probabilities:
    """Keep the k likeliest characters (of equals, the lowest ids); 0 keeps all."""
    if k == 0 or k >= probabilities.shape[-1]:
        return probabilities
    order = _descending(probabilities)
    kept = np.zeros_like(probabilities, dtype=bool)
    np.put_along_axis(kept, order[:, :k], True, axis=-1)
    return _keep(probabilities, kept)


def top_p(probabilities: Probabilities, p: float) -> Probabilities:
    """Keep the fewest likeliest characters whose probabilities reach p (Holtzman et al., 2020)."""
    if p >= 1:
        return probabilities
    order = _descending(probabilities)
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked  # what stands above each character in the ranking
    kept = np.zeros_like(probabilities, dtype=bool)
    np.put_along_axis(kept, order, before < p, axis=-1)
    return _keep(probabilities, kept)


def min_p(probabilities: Probabilities, share: float) -> Probabilities:
    """Keep characters at least `share` times as likely as the likeliest one (Nguyen et al., 2024)."""
    if share == 0:
        return probabilities
    return _keep(probabilities, probabilities >= share * probabilities.max(axis=-1, keepdims=True))


def draw(probabilities: Probabilities, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one id a row by inverting the cumulative distribution at `uniforms` (B,), each in [0, 1)."""
    cumulative = np.cumsum(probabilities, axis=-1)
    targets = uniforms[:, None] * cumulative[:, -1:]
    ids: NDArray[np.int64] = (cumulative <= targets).sum(axis=-1)
    return ids


def _likeliest(logits: NDArray[np.float64]) -> Probabilities:
    result = np.zeros_like(logits)
    result[np.arange(len(logits)), logits.argmax(axis=-1)] = 1
    return result


def _descending(probabilities: Probabilities) -> NDArray[np.intp]:
    return np.argsort(-probabilities, axis=-1, kind="stable")


def _keep(probabilities: Probabilities, kept: NDArray[np.bool_]) -> Probabilities:
    filtered = np.where(kept, probabilities, 0.0)
    result: Probabilities = filtered / filtered.sum(axis=-1, keepdims=True)
    return result
