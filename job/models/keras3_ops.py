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

# Functions of tensors only, and reductions, under the operation's name in lower case.
ELEMENTWISE = (
    *("Add", "Ceil", "Cos", "Divide", "Equal", "Erf", "Exp", "Floor", "Greater", "Less", "Log"),
    *("Maximum", "Minimum", "Multiply", "Negative", "Round", "Rsqrt", "Sigmoid", "Sign", "Sin"),
    *("Softplus", "Sqrt", "Square", "Subtract", "Tanh"),
)
ACTIVATIONS = ("Relu", "Relu6", "Selu", "Silu")
REDUCTIONS = ("Logsumexp", "Max", "Mean", "Min", "Prod", "Sum")

IN_TENSORFLOW: dict[str, Call] = {
    **{name: _on(getattr(tf.math, name.lower())) for name in ELEMENTWISE},
    **{name: _on(getattr(tf.nn, name.lower())) for name in ACTIVATIONS},
    **{name: _along(getattr(tf, f"reduce_{name.lower()}")) for name in REDUCTIONS},
    "Absolute": _on(tf.abs),
    "Cast": lambda op, x: tf.cast(x, op.dtype),
    "Clip": lambda op, x: tf.clip_by_value(x, op.x_min, op.x_max),
    "Concatenate": lambda op, xs: tf.concat(xs, axis=op.axis),
    "Einsum": _einsum,
    "Elu": lambda op, x: tf_keras.activations.elu(x, op.alpha),
    "ExpandDims": lambda op, x: tf.expand_dims(x, op.axis),
    "Gelu": lambda op, x: tf.nn.gelu(x, approximate=op.approximate),
    "GetItem": lambda _, x, key: x[tuple(key) if isinstance(key, list) else key],
    "GreaterEqual": _on(tf.greater_equal),
    "LeakyRelu": lambda op, x: tf.nn.leaky_relu(x, op.negative_slope),
    "LessEqual": _on(tf.less_equal),
    "LogSoftmax": lambda op, x: tf.nn.log_softmax(x, axis=op.axis),
    "Matmul": _on(tf.matmul),
    "Pad": _pad,
    "Power": _on(tf.pow),
    "Reshape": lambda op, x: tf.reshape(x, [-1 if it is None else it for it in op.newshape]),
    "Resize": _resize,
    "Softmax": lambda op, x: tf.nn.softmax(x, axis=op.axis),
    "Split": _split,
    "Squeeze": lambda op, x: tf.squeeze(x, axis=op.axis),
    "Stack": lambda op, xs: tf.stack(xs, axis=op.axis),
    "Std": _along(tf.math.reduce_std),
    "Take": lambda op, x, indices: tf.gather(x, indices, axis=op.axis),
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
