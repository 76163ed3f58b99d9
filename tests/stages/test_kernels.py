"""The kernels of a file are those of the Keras layers that they are said to be of."""

from __future__ import annotations

import numpy as np
import tf_keras

from job.stages.kernels import in_file, kernels, layers_in, others
from job.stages.quantize import convert
from job.tflite import flat
from tests.support.flat import floats, layers, variant


def test_each_kernel_has_its_layer() -> None:
    """Depthwise and folded ones, one that is used twice, and two of the same shape."""
    tf_keras.utils.set_random_seed(0)
    given = tf_keras.Input((8, 8, 3))
    x = layers.SeparableConv2D(4, 3, name="separable")(given)
    x = layers.BatchNormalization()(x)
    shared = layers.Conv2D(4, 1, name="shared")
    x = layers.Flatten()(shared(shared(x)))
    x = layers.Dense(16, name="first")(x)
    x = layers.Dense(16, name="second")(layers.Dense(16, name="third")(x))
    model = tf_keras.Model(given, x)
    content = floats(model)
    found = kernels(content, content, layers_in(model))
    assert [(it.layer, it.kind) for it in found] == [
        ("separable", "DEPTHWISE_CONV_2D"),
        ("separable", "CONV_2D"),
        ("shared", "CONV_2D"),
        ("first", "FULLY_CONNECTED"),
        ("third", "FULLY_CONNECTED"),
        ("second", "FULLY_CONNECTED"),
    ]
    file = flat.read(content)
    for one in found:
        np.testing.assert_array_equal(in_file(file, one)[1], one.weights)
    np.testing.assert_array_equal(found[-1].weights, model.get_layer("second").kernel.numpy().T)
    assert len(found[2].operators) == 2
    assert (found[0].axis, found[0].row) == (3, 9)


def test_kernels_that_were_quantized_are_found_by_the_float_file() -> None:
    """And those of operators that take no packed weights are listed apart."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8,), dtype="int32"),
            layers.Embedding(100, 16, name="words"),
            layers.Flatten(),
            layers.Dense(12, name="dense"),
        ]
    )
    content = convert(model, variant("dynamic_range"), (), "x")
    (found,) = kernels(content, floats(model), layers_in(model))
    np.testing.assert_array_equal(found.weights, model.get_layer("dense").kernel.numpy().T)
    assert in_file(flat.read(content), found)[1].dtype == np.int8
    (other,) = others(content, layers_in(model))
    assert (other.kind, other.layer, other.values.shape) == ("GATHER", "words", (100, 16))
