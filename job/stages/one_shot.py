"""Pruning without training: once, to the final sparsity; and the statistics that this moves.

Pruning changes the inputs of the layers behind it, so their ``BatchNormalization`` standardizes
with the mean and the variance of another model. These are estimated again on rows of data, which
regains most of what one-shot pruning costs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.manifest.prune import ConstantConfig, PruneConfig
from job.stages.prune import Window, mask_weights, wrap

Array = NDArray[np.generic]
# What random layers call their strength.
RATES = ("rate", "stddev", "dropout", "recurrent_dropout")


def prune_at_once(
    model: tf_keras.Model, targets: Mapping[str, float], config: PruneConfig
) -> tf_keras.Model:
    """Prune the weights of a model to their final sparsity, in place.

    Args:
        model: The trained model.
        targets: Layer path (``branch/dense``) -> its final sparsity.
        config: The structure; the schedule plays no part.

    Returns:
        The model with tfmot's wrappers, which shares its weights.
    """
    at_once = config.model_copy(update={"schedule": ConstantConfig(type="constant")})
    wrapped = wrap(model, targets, at_once, Window(0, 1, 1))
    for layer in _layers(wrapped):
        if hasattr(layer, "pruning_obj"):
            layer.pruning_step.assign(1)  # the only step at which tfmot sets masks of m by n
            layer.pruning_obj.conditional_mask_update()
    mask_weights(wrapped)
    return wrapped


def estimate_statistics(model: tf_keras.Model, batches: Sequence[Sequence[Array]]) -> list[str]:
    """Estimate the means and variances of each ``BatchNormalization`` again, in place.

    Args:
        model: The pruned model.
        batches: Inputs of rows, in the model's order.

    Returns:
        The names of the layers; frozen ones stay as they are.
    """
    found = [
        layer
        for layer in _layers(model)
        if isinstance(layer, tf_keras.layers.BatchNormalization) and layer.trainable
    ]
    if not found or not batches:
        return []
    momenta = [layer.momentum for layer in found]
    try:
        with _without_randomness(model):
            for index, inputs in enumerate(batches):
                for layer in found:
                    layer.momentum = index / (index + 1)  # the mean over all batches
                given = [tf.convert_to_tensor(it) for it in inputs]
                model(tf.nest.pack_sequence_as(model.input, given), training=True)
    finally:
        for layer, momentum in zip(found, momenta, strict=True):
            layer.momentum = momentum
    return [layer.name for layer in found]


@contextlib.contextmanager
def _without_randomness(model: Any) -> Iterator[None]:
    """Within the context, dropout drops nothing and noise is zero, also in training."""
    before = [
        (layer, name, getattr(layer, name))
        for layer in _layers(model)
        for name in RATES
        # A recurrent layer shows the strength of its cell, which is among the layers itself.
        if not isinstance(getattr(type(layer), name, None), property)
        and isinstance(getattr(layer, name, None), float | int)
    ]
    try:
        for layer, name, _ in before:
            setattr(layer, name, 0.0)
        yield
    finally:
        for layer, name, value in before:
            setattr(layer, name, value)


def _layers(model: Any) -> Iterator[Any]:
    """The layers of a model, at any depth."""
    yield from model._flatten_layers()  # noqa: SLF001 - submodules fails for recurrent dropout
