"""How much noise weights of 8 bits make in a model's outputs, layer by layer.

A few small layers often make most of it. With their weights in float16 the others can have 8 bits,
where 8 bits in all layers are too few and float16 in all layers takes twice the bytes; or 4, beside
8 in these. (The order is nearly the same: a bit less is four times the noise, in any layer.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from job.metrics.quality import Array, Inputs, Predict, batch_rows
from job.models.kernel_axes import channel_axes, kernel_sizes, quantized_kernels
from job.models.layers import layers_of, users_name
from job.stages.distill import variance
from job.stages.trial_weights import rounded

BITS = 8
# Shares are settings of trials, which have five digits.
DIGITS = 100_000


def by_noise(model: Any, predict: Predict, rows: Inputs) -> list[str]:
    """The layers with kernels, the one that makes most noise for each of its weights first.

    Args:
        model: The model; its weights are as before afterwards.
        predict: Its outputs for inputs.
        rows: An array for each input, (rows, ...).
    """
    wanted = _in_parts(predict, rows)
    spreads = [variance(it) for it in wanted]
    axes = channel_axes(model)
    found: dict[str, float] = {}
    for path, layer in layers_of(model):
        kernels = quantized_kernels(layer)
        if not kernels:
            continue
        before = [it.numpy() for it in kernels]
        try:
            for variable, value in zip(kernels, before, strict=True):
                variable.assign(rounded(value, BITS, axes.get(id(variable), ())))
            outputs = _in_parts(predict, rows)
        finally:
            for variable, value in zip(kernels, before, strict=True):
                variable.assign(value)
        noise = sum(
            float(np.mean(np.subtract(one, other, dtype=np.float64) ** 2)) / spread
            for one, other, spread in zip(outputs, wanted, spreads, strict=True)
        )
        found[users_name(path)] = noise / sum(it.size for it in before)
    return sorted(found, key=lambda name: -np.nan_to_num(found[name], nan=np.inf))


def noisiest(model: Any, order: Sequence[str], share: float) -> list[str]:
    """The first layers of an order that have a share of all weights, or just more.

    Args:
        model: The model.
        order: Of ``by_noise``.
        share: The fraction of the weights of all kernels; 0: no layer.
    """
    sizes = kernel_sizes(model)
    left = share * sum(sizes.values())
    found: list[str] = []
    for name in order:
        if left <= 0:
            break
        found.append(name)
        left -= sizes[name]
    return found


def shares(model: Any, order: Sequence[str]) -> list[float]:
    """The shares of all weights that the first layer of an order has, the first two, and so on.

    Args:
        model: The model.
        order: Of ``by_noise``.

    Returns:
        Rising; each gives these layers by ``noisiest``, rounded down so that it gives no other.
    """
    sizes = kernel_sizes(model)
    total = sum(sizes.values())
    sums = itertools.accumulate(sizes[name] for name in order)
    return sorted({math.floor(DIGITS * it / total) / DIGITS for it in sums} - {0.0})


def _in_parts(predict: Predict, rows: Inputs) -> list[Array]:
    """The outputs for all rows, of so many at once as fit into little memory."""
    count = len(rows[0])
    size = batch_rows(sum(it.nbytes for it in rows) // max(1, count))
    parts = [predict(tuple(it[at : at + size] for it in rows)) for at in range(0, count, size)]
    return [np.concatenate(it) for it in zip(*parts, strict=True)]
