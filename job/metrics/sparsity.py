"""Sparsity: the zeros among the weights of kernels, in a Keras model and in a ``.tflite``.

Kernels are weights of two dimensions and more; biases and normalization have one, and are not
pruned. In a quantized tensor a zero is a value at the zero point.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tf_keras
from numpy.typing import NDArray

Array = NDArray[np.generic]


def zero_fraction(arrays: Iterable[Array]) -> float:
    """The fraction of zeros in all arrays together; 0 where there are none."""
    zeros = total = 0
    for array in arrays:
        zeros += array.size - int(np.count_nonzero(array))
        total += array.size
    return zeros / total if total else 0.0


def model_sparsity(model: tf_keras.Model) -> float:
    """The fraction of zeros in the kernels of a model."""
    return zero_fraction(weight.numpy() for weight in model.weights if weight.shape.rank >= 2)
