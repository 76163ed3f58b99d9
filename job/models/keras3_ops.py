"""Functions of ``keras.ops`` that a Keras 3 model calls as layers, in TensorFlow.

``x + 1.0`` in a functional Keras 3 model is a call of the operation ``Add``. On the input of a
``tf_keras`` model the same TensorFlow function becomes a ``TFOpLambda`` layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# An operation's own settings are attributes of it; its arguments are those of its call.
Operation = Any
Call = Callable[..., Any]


def _getitem(_: Operation, x: Any, key: Any) -> Any:
    return x[tuple(key) if isinstance(key, list) else key]


def _along(function: Call) -> Call:
    return lambda op, x: function(x, axis=op.axis, keepdims=op.keepdims)


def _on_one(function: Call) -> Call:
    return lambda _, x: function(x)


def _on_two(function: Call) -> Call:
    return lambda _, x1, x2: function(x1, x2)


OPS: dict[str, Call] = {
    "Absolute": _on_one(tf.abs),
    "Add": _on_two(tf.add),
    "Cast": lambda op, x: tf.cast(x, op.dtype),
    "Clip": lambda op, x: tf.clip_by_value(x, op.x_min, op.x_max),
    "Concatenate": lambda op, xs: tf.concat(xs, axis=op.axis),
    "Cos": _on_one(tf.cos),
    "Divide": _on_two(tf.divide),
    "Einsum": lambda op, *xs: tf.einsum(op.subscripts, *xs),
    "Erf": _on_one(tf.math.erf),
    "Exp": _on_one(tf.exp),
    "ExpandDims": lambda op, x: tf.expand_dims(x, op.axis),
    "Gelu": lambda op, x: tf.nn.gelu(x, approximate=op.approximate),
    "GetItem": _getitem,
    "Log": _on_one(tf.math.log),
    "Matmul": _on_two(tf.matmul),
    "Max": _along(tf.reduce_max),
    "Maximum": _on_two(tf.maximum),
    "Mean": _along(tf.reduce_mean),
    "Min": _along(tf.reduce_min),
    "Minimum": _on_two(tf.minimum),
    "Multiply": _on_two(tf.multiply),
    "Negative": _on_one(tf.negative),
    "Power": _on_two(tf.pow),
    "Prod": _along(tf.reduce_prod),
    "Relu": _on_one(tf.nn.relu),
    "Relu6": _on_one(tf.nn.relu6),
    "Reshape": lambda op, x: tf.reshape(x, [-1 if it is None else it for it in op.newshape]),
    "Rsqrt": _on_one(tf.math.rsqrt),
    "Sigmoid": _on_one(tf.sigmoid),
    "Silu": _on_one(tf.nn.silu),
    "Sin": _on_one(tf.sin),
    "Softmax": lambda op, x: tf.nn.softmax(x, axis=op.axis),
    "Softplus": _on_one(tf.math.softplus),
    "Sqrt": _on_one(tf.sqrt),
    "Square": _on_one(tf.square),
    "Squeeze": lambda op, x: tf.squeeze(x, axis=op.axis),
    "Stack": lambda op, xs: tf.stack(xs, axis=op.axis),
    "Subtract": _on_two(tf.subtract),
    "Sum": _along(tf.reduce_sum),
    "Tanh": _on_one(tf.tanh),
    "Transpose": lambda op, x: tf.transpose(x, op.axes),
    "TrueDivide": _on_two(tf.truediv),
}
