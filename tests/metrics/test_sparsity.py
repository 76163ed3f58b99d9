"""Sparsity counts the zeros of kernels only, the same ones in a model and in its ``.tflite``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from job.metrics.sparsity import kernels, model_sparsity, zero_fraction
from tests.stages.test_quantize import variant
from tests.support.conversion import convert

layers = tf_keras.layers


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1e-38, -2.0, float("nan")]), max_size=9)))
@settings(deadline=None)
def test_the_fraction_is_that_of_all_arrays_together(rows: list[list[float]]) -> None:
    """Both zeros count, tiny numbers and NaN do not; without values the fraction is 0."""
    flat = [value for row in rows for value in row]
    wanted = sum(value == 0 for value in flat) / len(flat) if flat else 0.0
    assert zero_fraction(np.asarray(row, "float32") for row in rows) == wanted


def test_kernels_count_and_biases_and_normalization_do_not() -> None:
    """In a nested model too: zeros in the kernels of all layers, over all their weights."""
    inner = tf_keras.Sequential(
        [
            layers.InputLayer((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(),
        ]
    )
    model = tf_keras.Sequential([layers.InputLayer((6, 6, 2)), inner, layers.Flatten()])
    model.add(layers.Dense(3, name="dense"))
    assert model_sparsity(model) == 0  # though biases and moving means are zero
    conv, dense = inner.get_layer("conv"), model.get_layer("dense")
    kernel = conv.kernel.numpy()
    kernel[0] = 0  # 24 of 72
    conv.set_weights([kernel, conv.get_weights()[1]])
    kernel = dense.kernel.numpy()
    kernel[:, 1] = 0  # 64 of 192
    kernel[0, 0] = 0
    dense.set_weights([kernel, np.ones(3, "float32")])
    assert model_sparsity(model) == (24 + 64 + 1) / (72 + 192)


def test_a_model_without_kernels_has_no_zeros() -> None:
    """There is nothing to divide by."""
    assert model_sparsity(tf_keras.Sequential([layers.InputLayer((3,)), layers.ReLU()])) == 0


def pictures() -> tf_keras.Model:
    """Kernels that are folded, grouped or transposed; normalization and slopes, which are not."""
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
    """An embedding, attention with two-dimensional biases, an LSTM of four gates, and loops."""
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
    """The same weights and zeros; quantized, a few more zeros, from small values."""
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
