"""Activations as an integer file has them, in the training: fake quantization of layers' outputs.

A file of int8 rounds what each operator computes to 256 values between the smallest and the largest
that the calibration saw (https://arxiv.org/abs/1712.05877); one of int16x8 to 65,536 around zero.
So do the layers here while they are trained: their ranges are measured first, on the rows of the
calibration. What the converter fuses into the operator before (a BatchNormalization, a ReLU) is
rounded once, after it; and layers that only move values leave them as they are. Inputs, and what is
inside of recurrent and separable layers, are not simulated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

Array = NDArray[np.generic]
Call = Callable[..., Any]
Ranges = Mapping[int, tuple[float, float]]

# Their outputs have the range of their inputs.
MOVING = frozenset(
    """
    InputLayer Dropout SpatialDropout1D SpatialDropout2D GaussianNoise GaussianDropout Flatten
    Reshape Permute RepeatVector MaxPooling1D MaxPooling2D ZeroPadding1D ZeroPadding2D Cropping2D
    ActivityRegularization Masking
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)
# The converter fuses a layer of the second kind into one of the first.
FUSING = frozenset(
    """
    Dense Conv1D Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose BatchNormalization Add
    """.split()  # noqa: SIM905 - as above
)
FUSED = ("BatchNormalization", "ReLU")
FUSED_ACTIVATIONS = ("relu", "relu6", "linear")


def rounded_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The layers whose outputs are rounded in an integer file, at any depth, each once."""
    consumers: dict[int, list[tf_keras.layers.Layer]] = {}
    found: dict[int, tf_keras.layers.Layer] = {}

    def walk(inner: tf_keras.Model) -> None:
        for nodes in inner._nodes_by_depth.values():  # noqa: SLF001 - there is no public way
            for node in nodes:
                for parent in node.parent_nodes:
                    consumers.setdefault(id(parent.layer), []).append(node.layer)
        for layer in inner.layers:
            if isinstance(layer, tf_keras.Model):
                walk(layer)
            elif type(layer).__name__ not in MOVING:
                found[id(layer)] = layer

    walk(model)
    return [it for key, it in found.items() if not _is_fused(it, consumers.get(key, []))]


def _is_fused(layer: tf_keras.layers.Layer, consumers: Sequence[tf_keras.layers.Layer]) -> bool:
    """Whether the layers after it become a part of its operator."""
    return (
        bool(consumers)
        and type(layer).__name__ in FUSING
        and all(
            type(it).__name__ in FUSED
            or (
                getattr(getattr(it, "activation", None), "__name__", "") in FUSED_ACTIVATIONS
                and type(it).__name__ == "Activation"
            )
            for it in consumers
        )
    )


def measured_ranges(
    model: tf_keras.Model, rows: Sequence[Array], *, is_symmetric: bool, batch: int = 64
) -> dict[int, tuple[float, float]]:
    """The smallest and largest outputs of the layers that are rounded, with 0 between them.

    Args:
        model: The model, with its weights before the training.
        rows: One array for each input, each (rows, ...).
        is_symmetric: Whether a range has 0 in its middle.
        batch: Rows at a time.

    Returns:
        By the ``id`` of the layer; none for outputs that are no single tensor of floats.
    """
    chosen = rounded_layers(model)
    found = {id(it): (0.0, 0.0) for it in chosen}

    def note(call: Call, layer: Any, *args: Any, **options: Any) -> Any:
        outputs = call(*args, **options)
        if _is_float(outputs):
            low, high = found[id(layer)]
            found[id(layer)] = (
                min(low, float(tf.reduce_min(outputs))),
                max(high, float(tf.reduce_max(outputs))),
            )
        return outputs

    with _called(chosen, note):
        for start in range(0, len(rows[0]), batch):
            given = [tf.convert_to_tensor(it[start : start + batch]) for it in rows]
            model(tf.nest.pack_sequence_as(model.input, given), training=False)
    if is_symmetric:
        found = {key: (-max(-low, high), max(-low, high)) for key, (low, high) in found.items()}
    return {key: (low, high) for key, (low, high) in found.items() if low < high}


@contextlib.contextmanager
def simulated(model: tf_keras.Model, ranges: Ranges, bits: int) -> Iterator[None]:
    """In this context, the outputs of layers are rounded as in an integer file.

    Args:
        model: The model; the context changes how it is called, not its weights.
        ranges: From ``measured_ranges``.
        bits: 8 or 16.
    """

    def rounded(call: Call, layer: Any, *args: Any, **options: Any) -> Any:
        outputs = call(*args, **options)
        low, high = ranges[id(layer)]
        return tf.quantization.fake_quant_with_min_max_args(outputs, low, high, num_bits=bits)

    with _called([it for it in rounded_layers(model) if id(it) in ranges], rounded):
        yield


def _is_float(outputs: Any) -> bool:
    return tf.is_tensor(outputs) and outputs.dtype == tf.float32


@contextlib.contextmanager
def _called(chosen: Sequence[tf_keras.layers.Layer], how: Call) -> Iterator[None]:
    """In this context, layers are called through ``how(call, layer, ...)``."""
    changed = [it for it in chosen if "call" not in vars(it)]
    for layer in changed:
        vars(layer)["call"] = partial(how, layer.call, layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["call"]
