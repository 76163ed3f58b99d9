"""sparsity: zeros among the weights of kernels, counted by hand."""

from __future__ import annotations

import numpy as np
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from job.metrics.sparsity import model_sparsity, zero_fraction

layers = tf_keras.layers


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1e-38, -2.0, float("nan")]), max_size=9)))
@settings(deadline=None)
def test_the_fraction_is_that_of_all_arrays_together(rows: list[list[float]]) -> None:
    """Both zeros count, tiny numbers and NaN do not; of nothing the fraction is 0."""
    flat = [value for row in rows for value in row]
    wanted = sum(value == 0 for value in flat) / len(flat) if flat else 0.0
    assert zero_fraction(np.asarray(row, "float32") for row in rows) == wanted


def test_kernels_count_and_biases_and_normalization_do_not() -> None:
    """Of a nested model: zeros in the kernels of all layers, over all their weights."""
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
