"""Fake quantization of activations: which layers, in which ranges, and only in the training."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from job.stages.qat import measured_ranges, rounded_layers, simulated

layers = tf_keras.layers


def model() -> tf_keras.Model:
    """With everything that a converter fuses, in a nested model, too."""
    tf_keras.utils.set_random_seed(3)
    inner = tf_keras.Sequential(
        [
            layers.InputLayer((6, 6, 4)),
            layers.Conv2D(5, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(name="pool"),
        ],
        name="inner",
    )
    given = tf_keras.Input((8, 8, 1))
    first = layers.Conv2D(4, 3, activation="relu", name="first")(given)
    flat = layers.Flatten(name="flat")(inner(first))
    wide = layers.Dense(7, name="wide")(layers.Dropout(0.5)(flat))
    both = layers.Concatenate(name="both")([wide, layers.Activation("relu", name="act")(wide)])
    return tf_keras.Model(given, layers.Dense(3, name="out")(both))


ROWS = np.random.default_rng(1).normal(size=(100, 8, 8, 1)).astype("float32")


def test_outputs_are_rounded_where_the_file_rounds_them() -> None:
    """After what is fused into an operator; a layer with another consumer is rounded itself."""
    names = [it.name for it in rounded_layers(model())]
    assert sorted(names) == ["act", "both", "first", "out", "relu", "wide"]


def test_ranges_are_the_smallest_and_largest_outputs() -> None:
    """Of all rows, with zero between them."""
    net = model()
    found = measured_ranges(net, [ROWS], is_symmetric=False)
    for name in ("first", "wide", "out"):
        outputs = tf_keras.Model(net.input, net.get_layer(name).output)(ROWS).numpy()
        wanted = (min(0, outputs.min()), max(0, outputs.max()))
        assert found[id(net.get_layer(name))] == pytest.approx(wanted, rel=1e-5)
    both = measured_ranges(net, [ROWS], is_symmetric=True)
    low, high = both[id(net.get_layer("out"))]
    assert low == -high == pytest.approx(-np.abs(net(ROWS).numpy()).max(), rel=1e-5)


@pytest.mark.parametrize(("bits", "most"), [(8, 256), (16, 65536)])
def test_outputs_are_on_the_grid_within_the_context_alone(bits: int, most: int) -> None:
    """As many values as the file has; afterwards the model computes as before."""
    net = model()
    before = net(ROWS).numpy()
    ranges = measured_ranges(net, [ROWS], is_symmetric=bits == 16)
    low, high = ranges[id(net.get_layer("out"))]
    with simulated(net, ranges, bits):
        inside = net(ROWS).numpy()
    step = (high - low) / (most - 1)
    np.testing.assert_allclose(inside / step, np.round(inside / step), atol=0.02 * bits / 8)
    assert 0 < np.abs(inside - before).max() < 0.1
    np.testing.assert_array_equal(net(ROWS).numpy(), before)
    assert all("call" not in vars(it) for it in rounded_layers(net))
