"""Weights as a sparsity or a bit width would leave them, without any training.

Rounding is symmetric: a grid of 2**(bits - 1) - 1 steps either side of zero, that ends at the
largest magnitude of each output channel, as in a ``.tflite``. Ternary weights (2 bits) are -s, 0
and s, with one s for the kernel: those that are nearest to the given ones in the least squares
sense (Li and Liu, https://arxiv.org/abs/1605.04711, which approximates this).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[Any]


def pruned(weights: Weights, sparsity: float) -> Weights:
    """Weights with the smallest magnitudes set to zero.

    Args:
        weights: Of any shape and floating dtype, which the outcome has, too.
        sparsity: The fraction of zeros, rounded to whole weights. Of equal magnitudes the first
            ones are set to zero, so that it is reached exactly.
    """
    zeros = round(weights.size * sparsity)
    flat = weights.flatten()
    flat[np.argsort(np.abs(flat), kind="stable")[:zeros]] = 0
    return flat.reshape(weights.shape)


def rounded(weights: Weights, bits: int, channel_axes: Sequence[int]) -> Weights:
    """Weights on the grid of a bit width.

    Args:
        weights: Of any shape and floating dtype, which the outcome has, too.
        bits: 2 (ternary) or more.
        channel_axes: The axes along which each index has a scale of its own; none for one scale.
    """
    if bits == 2:
        return _ternary(weights)
    channels = {axis % weights.ndim for axis in channel_axes}
    others = tuple(axis for axis in range(weights.ndim) if axis not in channels)
    values = weights.astype(np.float64)
    steps = 2 ** (bits - 1) - 1
    scales = np.abs(values).max(axis=others, keepdims=True, initial=0) / steps
    safe = np.where(scales > 0, scales, 1)
    return np.asarray(np.round(values / safe) * scales, dtype=weights.dtype)


def _ternary(weights: Weights) -> Weights:
    """The k largest magnitudes at their mean, for the k that leaves the least squared error."""
    values = weights.astype(np.float64)
    magnitudes = np.sort(np.abs(values), axis=None)[::-1]
    counts = np.arange(1, magnitudes.size + 1)
    sums = np.cumsum(magnitudes)
    best = int(np.argmax(sums**2 / counts))  # the squared error is sum(w**2) less this
    is_large = np.abs(values) >= magnitudes[best]
    scale = np.abs(values[is_large]).mean()
    return np.asarray(np.sign(values) * is_large * scale, dtype=weights.dtype)
