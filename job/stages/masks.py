"""Masks of recurrent layers: whether a data set has padded rows, and calling layers without masks.

A recurrent layer with a mask is a loop in a ``.tflite`` file, which can't be calibrated; an LSTM
without one is an operator. Where a mask is true for every step of every row, the layer's output is
the same without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

# Their loops become TFLite operators only where the batch size is known.
RECURRENT = (
    tf_keras.layers.RNN,
    tf_keras.layers.Bidirectional,
    tf_keras.layers.ConvLSTM1D,
    tf_keras.layers.ConvLSTM2D,
)
Call = Callable[..., Any]


def recurrent_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The recurrent layers of a model, at any depth, including those inside wrappers."""
    # submodules, the public way, fails for a layer with recurrent dropout.
    return [part for part in model._flatten_layers() if isinstance(part, RECURRENT)]  # noqa: SLF001


def is_masked(layer: tf_keras.layers.Layer) -> bool:
    """Whether any call of the layer has a mask: as an argument, or from its input."""
    return any(
        node.call_kwargs["mask"] is not None
        if "mask" in node.call_kwargs
        else any(getattr(it, "_keras_mask", None) is not None for it in node.keras_inputs)
        for node in layer.inbound_nodes
    )


@contextlib.contextmanager
def ignored(model: tf_keras.Model) -> Iterator[None]:
    """In this context, the recurrent layers of the model are called without their masks."""

    def without(call: Call, inputs: Any, *_: Any, mask: Any = None, **options: Any) -> Any:
        del mask
        return call(inputs, **options)

    with _called(model, without):
        yield


def padded_rows(model: tf_keras.Model, batches: Iterable[Sequence[NDArray[Any]]]) -> int | None:
    """How many rows have steps that a recurrent layer's mask skips.

    Args:
        model: The model, with a free batch size.
        batches: The model's inputs, in its order, each (rows, ...).

    Returns:
        The number; None where no recurrent layer gets a mask.
    """
    found: list[tf.Tensor] = []

    def noting(call: Call, inputs: Any, *args: Any, mask: Any = None, **options: Any) -> Any:
        found.extend(it for it in tf.nest.flatten(mask) if it is not None)
        return call(inputs, *args, mask=mask, **options)

    @tf.function(autograph=False, reduce_retracing=True)
    def is_full(*inputs: tf.Tensor) -> tf.Tensor:
        found.clear()
        model(tf.nest.pack_sequence_as(model.input, inputs), training=False)
        rows = tf.shape(inputs[0])[0]
        full = tf.ones((rows,), tf.bool)
        for mask in found:
            steps = tf.reshape(tf.cast(mask, tf.bool), (rows, -1))
            full = tf.logical_and(full, tf.reduce_all(steps, axis=1))
        return full

    count = 0
    with _called(model, noting):
        for batch in batches:
            full = is_full(*(tf.constant(array) for array in batch)).numpy()
            count += int(np.count_nonzero(~full))
    return count if found else None


@contextlib.contextmanager
def _called(model: tf_keras.Model, how: Call) -> Iterator[None]:
    """In this context, the recurrent layers are called through ``how(call, ...)``."""
    changed = [it for it in recurrent_layers(model) if "call" not in vars(it)]
    for layer in changed:
        vars(layer)["call"] = partial(how, layer.call)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["call"]
