"""The integer grid that weights lie on: w = s * q, with a scale s and small integers q.

Weights that were trained for a grid, or clustered onto few values, are written as integers without
a loss, whatever later steps multiplied their channels by (a folded BatchNormalization). So the grid
is found in the weights themselves: the smallest magnitude is k steps of the grid, for the smallest
k for which all other magnitudes are whole numbers of steps, too. Float32 rounds every weight by up
to 2**-24 of itself, and folding by a few times that: a multiple may be off by 2**-19 of itself.
Other weights are rounded, as TFLite's converter does it: the largest magnitude is the last level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 2.0**-19


@dataclass(frozen=True)
class Grid:
    """Weights as integers."""

    values: NDArray[np.int8]
    """In the shape of the weights."""
    scales: NDArray[np.float32]
    """One, or one for each channel: weight = scale * value. Blockwise: (rows, blocks of a row)."""
    is_exact: bool
    """Whether the weights were on the grid; else they are rounded to it."""
    block: int | None = None
    """How many weights of a row share a scale, where scales are blockwise (``blocks.py``)."""

    @property
    def most(self) -> int:
        """The largest magnitude."""
        return int(np.abs(self.values.astype(np.int16)).max(initial=0))


def step(weights: NDArray[np.floating], levels: int) -> float | None:
    """The largest step of which all weights are whole multiples, up to ``levels`` either side.

    Args:
        weights: Of any shape.
        levels: The largest multiple.

    Returns:
        The step; 0 where all weights are 0, None where there is no step.
    """
    found = np.unique(np.abs(np.asarray(weights, np.float64)))
    found = found[found > 0]
    if not found.size:
        return 0.0
    if found.size > levels or found[-1] > found[0] * (levels + 0.5):
        return None
    for count in range(1, levels + 1):
        multiples = found * (count / found[0])
        if multiples[-1] > levels + 0.5:
            return None
        whole = np.rint(multiples)
        if (np.abs(multiples - whole) <= whole * TOLERANCE).all():
            return float((found * whole).sum() / (whole * whole).sum())
    return None


def exact(weights: NDArray[np.float32], axis: int, levels: int = 127) -> Grid | None:
    """The grid that weights lie on: of the whole tensor, else one for each channel.

    Args:
        weights: Of any shape.
        axis: The axis of the channels.
        levels: The largest magnitude of an integer.
    """
    whole = step(weights, levels)
    if whole is not None:
        return _on(weights, np.array([whole or 1.0]), axis, is_exact=True)
    channels = np.moveaxis(weights, axis, 0)
    steps = []
    for channel in channels:
        found = step(channel, levels)
        if found is None:
            return None
        steps.append(found)
    return _on(weights, without_zeros(np.array(steps)), axis, is_exact=True)


def rounded(
    weights: NDArray[np.float32], axis: int, levels: int, *, per_channel: bool, halves: bool = False
) -> Grid:
    """Weights rounded to symmetric integers.

    Args:
        weights: Of any shape.
        axis: The axis of the channels.
        levels: The largest magnitude of an integer.
        per_channel: Whether each channel gets a scale of its own.
        halves: Whether scales are bfloat16 values; they are rounded up, so that no weight is
            clipped.
    """
    axes = tuple(other for other in range(weights.ndim) if other != axis % weights.ndim)
    largest = np.abs(weights).max(axis=axes) if per_channel else np.abs(weights).max(keepdims=False)
    scales = without_zeros(np.atleast_1d(largest).astype(np.float64) / levels)
    if halves:
        scales = bfloat16(scales.astype(np.float32), up=True).astype(np.float64)
    return _on(weights, scales, axis, is_exact=False)


def _on(
    weights: NDArray[np.float32], steps: NDArray[np.float64], axis: int, *, is_exact: bool
) -> Grid:
    shape = [1] * weights.ndim
    if steps.size > 1:
        shape[axis] = steps.size
    scales = steps.astype(np.float32)
    values = np.rint(weights.astype(np.float64) / scales.astype(np.float64).reshape(shape))
    return Grid(np.clip(values, -127, 127).astype(np.int8), scales, is_exact)


def without_zeros(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A channel or block of zeros gets the scale before it: XNNPACK refuses a scale of 0, and what
    repeats costs nothing.
    """
    filled = steps.copy()
    usable = filled[filled > np.finfo(np.float32).tiny]
    before = usable[0] if usable.size else 1.0
    for index, value in enumerate(filled):
        if value <= np.finfo(np.float32).tiny:
            filled[index] = before
        before = filled[index]
    return filled


def bfloat16(values: NDArray[np.float32], *, up: bool = False) -> NDArray[np.float32]:
    """The nearest bfloat16 values, as float32: at most 2**-8 of the value away.

    Args:
        values: Finite numbers.
        up: Away from zero, not to the nearest: at most 2**-7 of the value away.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    more = np.uint64(0xFFFF) if up else np.uint64(0x7FFF) + (bits >> np.uint64(16) & np.uint64(1))
    return ((bits + more) & np.uint64(0xFFFF0000)).astype(np.uint32).view(np.float32)
