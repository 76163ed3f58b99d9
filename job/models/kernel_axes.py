"""The kernels that a ``.tflite`` file quantizes, and the axes along which they have scales of their
own: their output channels.

Source: the LiteRT 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec). Convolutions and fully connected
layers have a scale for each output channel, a depthwise convolution for each input channel and
multiplier; the weights of all other operators have one scale.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from job.models import prunable
from job.models.layers import every_layer, layers_of, users_name

layers = tf_keras.layers

# Layer class -> kernel -> its channel axes, counted from the end.
CHANNELS: dict[type[tf_keras.layers.Layer], dict[str, tuple[int, ...]]] = {
    layers.Dense: {"kernel": (-1,)},
    layers.Conv1D: {"kernel": (-1,)},
    layers.Conv2D: {"kernel": (-1,)},
    layers.Conv3D: {"kernel": (-1,)},
    layers.Conv1DTranspose: {"kernel": (-2,)},
    layers.Conv2DTranspose: {"kernel": (-2,)},
    layers.DepthwiseConv1D: {"depthwise_kernel": (-2, -1)},
    layers.DepthwiseConv2D: {"depthwise_kernel": (-2, -1)},
    layers.SeparableConv1D: {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
    layers.SeparableConv2D: {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
}


# What Keras calls kernels, at the end of a variable's name.
NAMES = ("kernel", "embeddings")


def quantized_kernels(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The kernels of a built layer, or of the layers inside it, each once: also those that are
    never pruned (depthwise ones, and those of frozen layers).
    """
    found = {
        id(it): it
        for it in layer.weights
        if len(it.shape) > 1 and it.name.rpartition("/")[2].partition(":")[0].endswith(NAMES)
    }
    found |= {id(it): it for it in prunable.kernels(layer)}
    return list(found.values())


def kernel_sizes(model: tf_keras.Model) -> dict[str, int]:
    """By the name of a layer that the user knows, how many weights its kernels have, if any."""
    sizes = {
        users_name(path): sum(int(np.prod(it.shape)) for it in quantized_kernels(layer))
        for path, layer in layers_of(model)
    }
    return {name: size for name, size in sizes.items() if size}


def dense_kernels(model: tf_keras.Model) -> set[int]:
    """The ``id`` of each kernel of a Dense layer, at any depth."""
    return {id(it.kernel) for it in every_layer(model) if type(it) is layers.Dense and it.built}


def channel_axes(model: tf_keras.Model) -> dict[int, tuple[int, ...]]:
    """The channel axes of each kernel that has scales of its own along any.

    Args:
        model: A built model; the layers in nested models and wrappers are included.

    Returns:
        The ``id`` of a variable -> its axes, counted from 0.
    """
    found: dict[int, tuple[int, ...]] = {}
    for layer in every_layer(model):
        for name, axes in CHANNELS.get(type(layer), {}).items():
            kernel = getattr(layer, name, None)
            if isinstance(kernel, tf.Variable):
                rank = len(kernel.shape)
                found[id(kernel)] = tuple(axis % rank for axis in axes)
    return found
