"""Which layers make most noise with 8 bits, and how many of them a share of the weights is."""

from __future__ import annotations

import numpy as np
import tf_keras

from job.metrics.quality import keras_predictor
from job.worker.weight_noise import by_noise, noisiest, shares

layers = tf_keras.layers


def model() -> tf_keras.Model:
    """One weight of the second layer is so large that its others are rounded to nothing."""
    tf_keras.utils.set_random_seed(0)
    inner = tf_keras.Sequential(
        [layers.InputLayer((20,)), layers.Dense(6, name="rough")], name="in"
    )
    made = tf_keras.Sequential(
        [
            layers.InputLayer((10,)),
            layers.Dense(20, name="wide"),
            inner,
            layers.ReLU(),
            layers.Dense(4, name="last"),
        ]
    )
    kernel = inner.get_layer("rough").kernel
    values = kernel.numpy()
    values[0] = 100
    kernel.assign(values)
    return made


def test_the_layer_that_loses_most_for_its_weights_is_first() -> None:
    """And the model stays as it was."""
    made = model()
    before = made.get_weights()
    rows = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    # What the large weight is multiplied with is zero.
    weights = made.get_layer("wide").get_weights()
    weights[0][:, 0] = 0
    made.get_layer("wide").set_weights(weights)
    before = made.get_weights()
    found = by_noise(made, keras_predictor(made), (rows,))
    assert found[0] == "in/rough"
    assert sorted(found) == ["in/rough", "last", "wide"]
    assert all(map(np.array_equal, before, made.get_weights()))


def test_layers_are_taken_until_the_share_is_reached() -> None:
    """Of 344 weights: 24, 120 and 200."""
    made, order = model(), ["last", "in/rough", "wide"]
    assert noisiest(made, order, 0.0) == []
    assert noisiest(made, order, 0.01) == ["last"]
    assert noisiest(made, order, 24 / 344) == ["last"]
    assert noisiest(made, order, 0.1) == ["last", "in/rough"]
    assert noisiest(made, order, 1.0) == order


def test_each_share_gives_its_own_layers() -> None:
    """Rounded as the settings of trials are; the last one is all weights."""
    made, order = model(), ["last", "in/rough", "wide"]
    found = shares(made, order)
    assert found == [0.06976, 0.41860, 1.0]
    assert [noisiest(made, order, it) for it in found] == [order[:1], order[:2], order]
    assert shares(made, []) == []
