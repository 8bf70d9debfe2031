"""Weights as whole numbers: one byte each, and a scale for each column.

Legend: I inputs, O outputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEVEN_BITS = 63
EIGHT_BITS = 127


def quantized_columns(
    matrix: NDArray[np.float32], levels: int = SEVEN_BITS
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix (I, O) as whole numbers from -levels to levels and a scale for each column (O,)."""
    scales = np.abs(matrix).max(axis=0).astype(np.float64) / levels
    scales[scales == 0] = 1.0
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
