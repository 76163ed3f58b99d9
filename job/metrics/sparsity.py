"""Sparsity: the zeros among the weights of kernels, in a Keras model and in a ``.tflite``.

Kernels are what inputs are multiplied with, and the tables of embeddings: weights of two dimensions
and more that are no bias (a GRU's has two), no normalization and no slope of an activation. In a
quantized tensor a zero is a value at the zero point. ``kernels.py`` finds the same ones in a
``.tflite``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

# What weights are called that are no kernels, however many dimensions they have.
NO_KERNELS = (
    *("bias", "alpha", "gamma", "beta", "moving_mean", "moving_variance", "mean", "variance"),
    *("count", "seed_generator_state"),
)


def zero_fraction(arrays: Iterable[Array]) -> float:
    """The fraction of zeros in all arrays together; 0 where there are none."""
    zeros = total = 0
    for array in arrays:
        zeros += array.size - int(np.count_nonzero(array))
        total += array.size
    return zeros / total if total else 0.0


def model_sparsity(model: Any) -> float:
    """The fraction of zeros in the kernels of a Keras model, of Keras 2 or 3."""
    return zero_fraction(np.asarray(it) for it in model.weights if _is_kernel(it))


def _is_kernel(weight: Any) -> bool:
    """Of Keras 2 the name is a path, ``branch/dense/bias:0``; of Keras 3 it is the last part."""
    name = weight.name.rpartition("/")[2].partition(":")[0]
    return len(weight.shape) >= 2 and name not in NO_KERNELS
