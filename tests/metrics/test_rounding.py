"""rounding: a weight is found in a .tflite, and how far it was rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.metrics.rounding import rounded


@pytest.mark.parametrize("optimize", [False, True])
def test_a_kernel_is_found_in_another_layout_and_another_weight_is_not(
    optimize: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    kernel = np.abs(random.normal(size=(64, 32))).astype("float32")
    layer = tf_keras.layers.Dense(32, use_bias=False)
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((64,)), layer])
    model.set_weights([kernel])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    found = rounded(path, kernel)
    assert found is not None
    step = kernel.max() / 127 if optimize else 0
    assert found[0] <= 0.5 * step + 1e-6
    assert (found[0] > 0) == optimize
    assert found[1] >= 0
    assert rounded(path, -kernel) is None
