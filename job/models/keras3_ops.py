"""Functions of ``keras.ops`` that a Keras 3 model calls, in TensorFlow.

``x + 1.0`` in a functional Keras 3 model is a call of the operation ``Add``. On the input of a
``tf_keras`` model the same TensorFlow function becomes a ``TFOpLambda`` layer. If there is no such
function, or Keras 3 converts dtypes first, a Keras 2 layer calls the operation itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from job.models.keras3_adapters import of_operation
from job.safety.allowed import KERAS3_OPS

# An operation's settings are its attributes; its arguments are those of its call.
Operation = Any
Call = Callable[..., Any]


def _getitem(_: Operation, x: Any, key: Any) -> Any:
    return x[tuple(key) if isinstance(key, list) else key]


def _einsum(op: Operation, *operands: Any) -> Any:
    if len(operands) > 1:  # Keras 2 can't serialize such a call
        return of_operation(op, *operands)
    return tf.einsum(op.subscripts, *operands)


def _pad(op: Operation, x: Any, constant_values: Any = None) -> Any:
    widths = op.pad_width * len(x.shape) if len(op.pad_width) == 1 else op.pad_width
    return tf.pad(x, [list(it) for it in widths], op.mode, constant_values or 0)


def _resize(op: Operation, x: Any) -> Any:
    if op.crop_to_aspect_ratio or op.pad_to_aspect_ratio or op.data_format != "channels_last":
        return of_operation(op, x)
    return tf.image.resize(x, op.size, method=op.interpolation, antialias=op.antialias)


def _split(op: Operation, x: Any) -> Any:
    if not isinstance(op.indices_or_sections, int):
        return of_operation(op, x)
    return tf.split(x, op.indices_or_sections, axis=op.axis)


def _along(function: Call) -> Call:
    return lambda op, x: function(x, axis=op.axis, keepdims=op.keepdims)


def _on(function: Call) -> Call:
    """A function of tensors only."""
    return lambda _, *tensors: function(*tensors)


def _in_floats(function: Call) -> Call:
    """The function if all tensors are float32; Keras 3 converts other dtypes by its own rules."""

    def call(op: Operation, *arguments: Any, **options: Any) -> Any:
        tensors = [it for it in keras.tree.flatten((arguments, options)) if hasattr(it, "dtype")]
        if all(it.dtype == tf.float32 for it in tensors):
            try:
                return function(op, *arguments, **options)
            except (TypeError, ValueError):
                pass
        return of_operation(op, *arguments, **options)

    return call


# Operations that call functions: these are code, which is not run from a file.
CALL_FUNCTIONS = (
    *("AssociativeScan", "Cond", "ForiLoop", "Function", "JVP", "Map", "Scan", "Switch"),
    *("VectorizedMap", "WhileLoop"),
)

IN_TENSORFLOW: dict[str, Call] = {
    "Absolute": _on(tf.abs),
    "Add": _on(tf.add),
    "Cast": lambda op, x: tf.cast(x, op.dtype),
    "Ceil": _on(tf.math.ceil),
    "Clip": lambda op, x: tf.clip_by_value(x, op.x_min, op.x_max),
    "Concatenate": lambda op, xs: tf.concat(xs, axis=op.axis),
    "Cos": _on(tf.cos),
    "Divide": _on(tf.divide),
    "Einsum": _einsum,
    "Elu": lambda op, x: tf_keras.activations.elu(x, op.alpha),
    "Equal": _on(tf.equal),
    "Erf": _on(tf.math.erf),
    "Exp": _on(tf.exp),
    "ExpandDims": lambda op, x: tf.expand_dims(x, op.axis),
    "Floor": _on(tf.floor),
    "Gelu": lambda op, x: tf.nn.gelu(x, approximate=op.approximate),
    "GetItem": _getitem,
    "Greater": _on(tf.greater),
    "GreaterEqual": _on(tf.greater_equal),
    "LeakyRelu": lambda op, x: tf.nn.leaky_relu(x, op.negative_slope),
    "Less": _on(tf.less),
    "LessEqual": _on(tf.less_equal),
    "Log": _on(tf.math.log),
    "LogSoftmax": lambda op, x: tf.nn.log_softmax(x, axis=op.axis),
    "Logsumexp": _along(tf.reduce_logsumexp),
    "Matmul": _on(tf.matmul),
    "Max": _along(tf.reduce_max),
    "Maximum": _on(tf.maximum),
    "Mean": _along(tf.reduce_mean),
    "Min": _along(tf.reduce_min),
    "Minimum": _on(tf.minimum),
    "Multiply": _on(tf.multiply),
    "Negative": _on(tf.negative),
    "Pad": _pad,
    "Power": _on(tf.pow),
    "Prod": _along(tf.reduce_prod),
    "Relu": _on(tf.nn.relu),
    "Relu6": _on(tf.nn.relu6),
    "Reshape": lambda op, x: tf.reshape(x, [-1 if it is None else it for it in op.newshape]),
    "Resize": _resize,
    "Round": _on(tf.round),
    "Rsqrt": _on(tf.math.rsqrt),
    "Selu": _on(tf.nn.selu),
    "Sigmoid": _on(tf.sigmoid),
    "Sign": _on(tf.sign),
    "Silu": _on(tf.nn.silu),
    "Sin": _on(tf.sin),
    "Softmax": lambda op, x: tf.nn.softmax(x, axis=op.axis),
    "Softplus": _on(tf.math.softplus),
    "Split": _split,
    "Sqrt": _on(tf.sqrt),
    "Square": _on(tf.square),
    "Squeeze": lambda op, x: tf.squeeze(x, axis=op.axis),
    "Stack": lambda op, xs: tf.stack(xs, axis=op.axis),
    "Std": _along(tf.math.reduce_std),
    "Subtract": _on(tf.subtract),
    "Sum": _along(tf.reduce_sum),
    "Take": lambda op, x, indices: tf.gather(x, indices, axis=op.axis),
    "Tanh": _on(tf.tanh),
    "Tile": lambda op, x: tf.tile(x, op.repeats),
    "Transpose": lambda op, x: tf.transpose(x, op.axes),
    "TrueDivide": _on(tf.truediv),
    "Var": _along(tf.math.reduce_variance),
    "Where": _on(tf.where),
}

# Each operation that a file may use.
OPS: dict[str, Call] = {
    name: _in_floats(IN_TENSORFLOW[name]) if name in IN_TENSORFLOW else of_operation
    for name in KERAS3_OPS.split()
}
