"""Sparsity: the zeros among the weights of kernels, in a Keras model and in a ``.tflite``.

Kernels are weights of two dimensions and more; biases and normalization have one, and are not
pruned. In a quantized tensor a zero is a value at the zero point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def zero_fraction(arrays: Iterable[Array]) -> float:
    """The fraction of zeros in all arrays together; 0 where there are none."""
    zeros = total = 0
    for array in arrays:
        zeros += array.size - int(np.count_nonzero(array))
        total += array.size
    return zeros / total if total else 0.0


def model_sparsity(model: Any) -> float:
    """The fraction of zeros in the kernels of a Keras model, of Keras 2 or 3."""
    return zero_fraction(np.asarray(it) for it in model.weights if len(it.shape) >= 2)
