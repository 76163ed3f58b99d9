"""The kernels that a file quantizes, and the axes along which the file has scales of their own."""

from __future__ import annotations

from typing import Any

import pytest
import tf_keras

from job.models.kernel_axes import channel_axes, quantized_kernels

layers = tf_keras.layers


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (layers.Dense(3), (4,), [(1,)]),
        (layers.Conv1D(3, 2), (6, 4), [(2,)]),
        (layers.Conv2D(3, 2), (6, 6, 4), [(3,)]),
        (layers.Conv2DTranspose(3, 2), (6, 6, 4), [(2,)]),
        (layers.DepthwiseConv2D(2, depth_multiplier=3), (6, 6, 4), [(2, 3)]),
        (layers.SeparableConv2D(3, 2), (6, 6, 4), [(2, 3), (3,)]),
        (layers.TimeDistributed(layers.Dense(3)), (6, 4), [(1,)]),
        (layers.LSTM(3), (6, 4), [None, None]),
        (layers.Bidirectional(layers.GRU(3)), (6, 4), [None] * 4),
        (layers.Embedding(9, 3), (6,), [None]),
        (layers.BatchNormalization(), (4,), []),
    ],
)
def test_kernels_and_their_channels(layer: Any, shape: tuple[int, ...], axes: list[Any]) -> None:
    """None where one scale serves the whole kernel; biases and statistics are no kernels."""
    model = tf_keras.Sequential([layers.InputLayer(shape), layer])
    found = channel_axes(model)
    assert [found.get(id(it)) for it in quantized_kernels(layer)] == axes


def test_kernels_of_frozen_layers_are_quantized() -> None:
    """The file quantizes them, whether they are trained or not."""
    layer = layers.Dense(3, trainable=False)
    tf_keras.Sequential([layers.InputLayer((4,)), layer])
    assert len(quantized_kernels(layer)) == 1
