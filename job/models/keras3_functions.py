"""Activations, constraints and regularizers of Keras 3 layers, for layers of Keras 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tf_keras

# Activations that compute the same in both, by their names in Keras 3 -> in Keras 2. hard_sigmoid
# is none of them (its slope is 1/6 in Keras 3 and 0.2 in Keras 2), nor is what Keras 2 lacks.
SAME_ACTIVATIONS = {
    "elu": "elu",
    "exponential": "exponential",
    "gelu": "gelu",
    "linear": "linear",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}
_BY_FUNCTION = {getattr(keras.activations, its): own for its, own in SAME_ACTIVATIONS.items()}


def activation(found: Any, make: Callable[[keras.Layer], Any]) -> Any:
    """The activation of a Keras 2 layer: a name, a function or a layer.

    Args:
        found: The Keras 3 layer's activation. A function that Keras 2 lacks stays what it is: its
            operators are TensorFlow's.
        make: Makes a Keras 2 layer of one of Keras 3, for a layer object as an activation.
    """
    if isinstance(found, keras.layers.Softmax) and found.axis == -1:
        return "softmax"  # a name is what the loss is inferred from
    if isinstance(found, keras.Layer):
        return make(found)
    return _BY_FUNCTION.get(found, found)


def constraint(found: Any) -> Any:
    """The same constraint in Keras 2; a trusted one of the user's stays what it is."""
    return _same(keras.constraints, tf_keras.constraints, found)


def regularizer(found: Any) -> Any:
    """The same regularizer in Keras 2; a trusted one of the user's stays what it is."""
    return _same(keras.regularizers, tf_keras.regularizers, found)


def _same(rooms: Any, own: Any, found: Any) -> Any:
    found = rooms.get(found)
    name = type(found).__name__
    if found is None or type(found) is not getattr(rooms, name, None):
        return found
    return getattr(own, name)(**found.get_config())
