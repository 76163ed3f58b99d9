"""kernels: those of a .tflite are the Keras model's, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.metrics.kernels import kernels
from job.metrics.sparsity import model_sparsity, zero_fraction
from tests.stages.test_quantize import variant
from tests.support.conversion import convert

layers = tf_keras.layers


def pictures() -> tf_keras.Model:
    """Kernels that are folded, grouped, transposed; normalization and slopes, which are none."""
    return tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 4)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.ZeroPadding2D(2),
            layers.Conv2DTranspose(6, 3, strides=2),
            layers.SeparableConv2D(8, 3, dilation_rate=2),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Conv2D(12, 1, groups=2),
            layers.Flatten(),
            layers.Dense(20),
        ]
    )


def words() -> tf_keras.Model:
    """A table, attention whose biases have two dimensions, an LSTM of four gates, and loops."""
    given = tf_keras.Input((6,), dtype="int32")
    x = layers.Embedding(50, 8)(given)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LSTM(7, return_sequences=True)(x)
    return tf_keras.Model(given, layers.Dense(40)(layers.GRU(6)(x)))


def frames() -> tf_keras.Model:
    """States that begin as zeros."""
    return tf_keras.Sequential(
        [layers.InputLayer((3, 6, 6, 2)), layers.ConvLSTM2D(4, 3), layers.GlobalMaxPooling2D()]
    )


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (pictures, ("float32", "float16", "dynamic_range", "int8")),
        (words, ("float32", "dynamic_range")),
        (frames, ("float32",)),
    ],
)
def test_the_sparsity_of_a_tflite_is_that_of_the_model(
    make: Any, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    """As many weights, and as many zeros; quantized, some more, of small values."""
    tf_keras.utils.set_random_seed(1)
    model = make()
    random = np.random.default_rng(0)
    wanted = []
    for weight in model.weights:
        name = weight.name.partition(":")[0]
        if not name.endswith(("kernel", "embeddings")):
            continue
        values = weight.numpy()
        values[random.random(values.shape) < 0.6] = 0
        weight.assign(values)
        wanted.append(values)
    zeros, total = sum((it == 0).sum() for it in wanted), sum(it.size for it in wanted)
    assert model_sparsity(model) == zeros / total
    shape = (8, *model.input_shape[1:])
    rows = random.integers(0, 50, shape) if make is words else random.normal(size=shape)
    for kind in kinds:
        path = tmp_path / f"{kind}.tflite"
        convert(model, variant(kind), [rows.astype(model.input.dtype.name)], path)
        found = kernels(path)
        assert sum(it.size for it in found) == total, kind
        off = zero_fraction(found) - zeros / total
        assert off == 0 if kind.startswith("float") else 0 <= off < 0.02, kind
