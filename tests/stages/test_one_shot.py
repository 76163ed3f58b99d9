"""Pruning without training: the smallest weights are zero, the statistics are NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.manifest.prune import PruneConfig
from job.stages.one_shot import estimate_statistics, prune_at_once
from job.stages.strip import strip

layers = tf_keras.layers
EPSILON = 1e-3


def model(**options: Any) -> tf_keras.Model:
    """Two layers with statistics; dropout and noise are before the second ones."""
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(
        [
            layers.InputLayer((12,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm", epsilon=EPSILON, **options),
            layers.GaussianNoise(2.0, name="noise"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(8, name="wide"),
            layers.BatchNormalization(name="last", epsilon=EPSILON),
        ]
    )


def rows(count: int = 300) -> Any:
    random = np.random.default_rng(1)
    return (3 + 2 * random.normal(size=(count, 12))).astype("float32")


def at_once(asked: dict[str, float], **sections: Any) -> tuple[tf_keras.Model, tf_keras.Model]:
    """A model before and after."""
    before, after = model(), model()
    wrapped = prune_at_once(after, asked, PruneConfig.model_validate(sections))
    return before, strip(wrapped, after)


def test_the_smallest_weights_are_zero_and_the_others_are_as_they_were() -> None:
    """As many as the layer's final sparsity says; other layers are untouched."""
    before, after = at_once({"hidden": 0.75, "wide": 0.5})
    for name, sparsity in (("hidden", 0.75), ("wide", 0.5)):
        old, new = (it.get_layer(name).kernel.numpy() for it in (before, after))
        zero = new == 0
        assert zero.mean() == sparsity
        np.testing.assert_array_equal(new[~zero], old[~zero])
        assert np.abs(old[zero]).max() < np.abs(old[~zero]).min()
    before, after = at_once({"wide": 0.9})
    np.testing.assert_array_equal(
        before.get_layer("hidden").kernel.numpy(), after.get_layer("hidden").kernel.numpy()
    )


def test_the_schedule_plays_no_part() -> None:
    """A schedule that begins late and ends later prunes to its end at once."""
    late = {"type": "polynomial_decay", "begin_step": 500, "end_step": 900, "initial_sparsity": 0.1}
    _, after = at_once({"hidden": 0.75}, schedule=late | {"final_sparsity": 0.75})
    assert np.mean(after.get_layer("hidden").kernel.numpy() == 0) == 0.75


def test_a_structure_is_pruned_at_once_too() -> None:
    """Two of four along the inputs: the larger two of each four are left."""
    structure = {"type": "m_by_n", "sparsity_m_by_n": [2, 4]}
    before, after = at_once({"hidden": 0.5}, structure=structure)
    old, new = (it.get_layer("hidden").kernel.numpy() for it in (before, after))
    assert np.mean(new == 0) == 0.5
    assert np.abs(new).sum() > 0.6 * np.abs(old).sum()


def expected(found: tf_keras.Model, x: Any) -> list[tuple[Any, Any]]:
    """Mean and variance of what each normalization is given, without dropout and noise; the
    second one after the first has new statistics.
    """
    hidden, norm, wide = (found.get_layer(it) for it in ("hidden", "norm", "wide"))
    given = np.maximum(x @ hidden.kernel.numpy() + hidden.bias.numpy(), 0).astype(float)
    scaled = (given - given.mean(0)) / np.sqrt(given.var(0) + EPSILON)
    scaled = scaled * norm.gamma.numpy() + norm.beta.numpy()
    behind = scaled @ wide.kernel.numpy() + wide.bias.numpy()
    return [(it.mean(0), it.var(0)) for it in (given, behind)]


def test_statistics_are_the_mean_and_the_variance_of_the_rows() -> None:
    """Of one batch exactly, in each layer; dropout drops nothing meanwhile."""
    found, x = model(), rows()
    assert estimate_statistics(found, [[x]]) == ["norm", "last"]
    for name, (mean, spread) in zip(("norm", "last"), expected(found, x), strict=True):
        layer = found.get_layer(name)
        np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(layer.moving_variance.numpy(), spread, rtol=1e-3, atol=1e-4)


def test_of_several_batches_the_statistics_are_their_means() -> None:
    """Each batch counts the same, and what was there before does not."""
    found, x = model(), rows()
    found.get_layer("norm").moving_mean.assign(np.full(16, 50.0))
    parts = np.array_split(x, 3)
    estimate_statistics(found, [[it] for it in parts])
    each = [expected(found, it)[0] for it in parts]
    layer = found.get_layer("norm")
    for values, index in ((layer.moving_mean, 0), (layer.moving_variance, 1)):
        mean = np.mean([it[index] for it in each], axis=0)
        np.testing.assert_allclose(values.numpy(), mean, rtol=1e-3, atol=1e-4)


def test_all_else_is_as_before() -> None:
    """Rates, momenta, and the weights that are trained."""
    found, untouched = model(momentum=0.8), model(momentum=0.8)
    estimate_statistics(found, [[rows()]])
    assert found.get_layer("dropout").rate == 0.5
    assert found.get_layer("noise").stddev == 2.0
    assert [found.get_layer(it).momentum for it in ("norm", "last")] == [0.8, 0.99]
    for mine, other in zip(found.trainable_weights, untouched.trainable_weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_recurrent_layers_drop_nothing_either(kind: str) -> None:
    """The strength of their dropout is their cell's."""
    tf_keras.utils.set_random_seed(4)
    cell = getattr(layers, "LSTM" if kind == "Bidirectional" else kind)
    recurrent = cell(3, dropout=0.5, recurrent_dropout=0.25)
    if kind == "Bidirectional":
        recurrent = layers.Bidirectional(recurrent)
    found = tf_keras.Sequential(
        [layers.InputLayer((5, 4)), recurrent, layers.BatchNormalization(name="norm")]
    )
    given = np.random.default_rng(1).normal(size=(50, 5, 4)).astype("float32")
    assert estimate_statistics(found, [[given]]) == ["norm"]
    wanted = tf_keras.Model(found.inputs, recurrent.output).predict(given, verbose=0)
    mean = found.get_layer("norm").moving_mean.numpy()
    np.testing.assert_allclose(mean, wanted.mean(axis=0), atol=1e-5)
    for layer in (recurrent.forward_layer if kind == "Bidirectional" else recurrent,):
        assert (layer.dropout, layer.recurrent_dropout) == (0.5, 0.25)


def test_frozen_layers_keep_their_statistics() -> None:
    """As in training; without rows, all do."""
    found = model()
    found.get_layer("norm").trainable = False
    before = found.get_layer("norm").get_weights()
    assert estimate_statistics(found, [[rows()]]) == ["last"]
    for mine, other in zip(found.get_layer("norm").get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert estimate_statistics(found, []) == []
    bare = tf_keras.Sequential([layers.InputLayer((12,)), layers.Dense(2)])
    assert estimate_statistics(bare, [[rows()]]) == []


def test_rates_come_back_where_a_batch_does_not_fit() -> None:
    """The error is passed on."""
    found = model()
    with pytest.raises(ValueError, match="incompatible"):
        estimate_statistics(found, [[rows()[:, :5]]])
    assert found.get_layer("dropout").rate == 0.5
    assert found.get_layer("norm").momentum == 0.99


def test_layers_inside_models_and_dicts_of_inputs_are_found() -> None:
    """A model in a model, called with the inputs by name; statistics per channel."""
    tf_keras.utils.set_random_seed(2)
    inner = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 3)), layers.BatchNormalization(name="deep")], name="inner"
    )
    image, hint = tf_keras.Input((8, 8, 3), name="image"), tf_keras.Input((2,), name="hint")
    pooled = layers.GlobalAveragePooling2D()(inner(image))
    whole = tf_keras.Model(
        {"image": image, "hint": hint}, layers.Dense(1)(layers.Concatenate()([pooled, hint]))
    )
    random = np.random.default_rng(0)
    given = {
        "image": random.normal(2, 3, (50, 8, 8, 3)).astype("float32"),
        "hint": random.normal(size=(50, 2)).astype("float32"),
    }
    named = [it.name for it in whole.inputs]
    assert estimate_statistics(whole, [[given[it] for it in named]]) == ["deep"]
    layer = inner.get_layer("deep")
    np.testing.assert_allclose(layer.moving_mean, given["image"].mean((0, 1, 2)), rtol=1e-3)
    # Keras's fused kernel gives the unbiased variance, which 3,200 values hardly show.
    np.testing.assert_allclose(layer.moving_variance, given["image"].var((0, 1, 2)), rtol=1e-3)
