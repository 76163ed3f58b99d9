"""The pruning wrapper changes only its layer's weights; masks of padding still work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.events import Stage
from job.manifest.prune import PruneConfig
from job.models.prunable import plan_layers, targets
from job.stages.fine_tune import TrainingSettings, fine_tune, regularized
from job.stages.prune import Window, wrap
from tests.support.batches import InOrder, no_metrics

layers = tf_keras.layers


def words(*rest: tf_keras.layers.Layer) -> tf_keras.Model:
    """Token ids, of which 0 is padding."""
    given = layers.Embedding(30, 8, mask_zero=True)
    return tf_keras.Sequential([layers.InputLayer((7,)), given, *rest])


def attended() -> tf_keras.Model:
    given = tf_keras.Input((7,))
    x = layers.Embedding(30, 8, mask_zero=True)(given)
    x = layers.MultiHeadAttention(2, 8)(x, layers.Dense(8)(x))
    return tf_keras.Model(given, layers.GlobalAveragePooling1D()(x))


def translated() -> tf_keras.Model:
    """A decoder that starts from the encoder's states, of both directions."""
    given = tf_keras.Input((7,))
    x = layers.Embedding(30, 8, mask_zero=True)(given)
    encoder = layers.Bidirectional(layers.SimpleRNN(6, return_state=True, return_sequences=True))
    x, *states = encoder(x)
    x = layers.Bidirectional(layers.SimpleRNN(6))(x, initial_state=states)
    return tf_keras.Model(given, x)


MODELS: dict[str, Callable[[], tf_keras.Model]] = {
    "pooled": lambda: words(layers.GlobalAveragePooling1D()),
    "dense": lambda: words(layers.Dense(9), layers.SimpleRNN(8)),
    "no mask after a convolution": lambda: words(layers.Conv1D(9, 3), layers.SimpleRNN(8)),
    "recurrent": lambda: words(layers.SimpleRNN(9, return_sequences=True), layers.SimpleRNN(8)),
    "both directions": lambda: words(
        layers.Bidirectional(layers.SimpleRNN(9, return_sequences=True)), layers.SimpleRNN(8)
    ),
    "each step": lambda: words(layers.TimeDistributed(layers.Dense(9)), layers.SimpleRNN(8)),
    "attention": attended,
    "states": translated,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
@pytest.mark.parametrize("training", [True, False])
def test_padding_is_masked_in_the_wrapped_model_too(
    make: Callable[[], tf_keras.Model], training: bool
) -> None:
    """Before the first mask update, the outputs are those of the original model."""
    tf_keras.utils.set_random_seed(2)
    model = make()
    wanted = targets(plan_layers(model, PruneConfig()), "m")
    sentences = padded(6)
    before = model(sentences).numpy()
    wrapped = wrap(model, wanted, PruneConfig(), Window(50, 60, 10))
    assert sum(type(it).__name__ == "PruneLowMagnitude" for it in wrapped.layers) >= len(wanted)
    after = wrapped(sentences, training=training).numpy()
    np.testing.assert_allclose(after, before, atol=1e-6)


def padded(rows: int) -> NDArray[np.float32]:
    """Token ids, three of each seven padding."""
    drawn = np.random.default_rng(0).integers(1, 30, (rows, 7)).astype("float32")
    drawn[:, 4:] = 0
    return drawn


def test_a_layer_that_takes_no_mask_gets_none() -> None:
    """``Masking`` before a Dense layer: tfmot's wrapper raises a TypeError."""
    tf_keras.utils.set_random_seed(2)
    model = tf_keras.Sequential(
        [layers.InputLayer((7, 4)), layers.Masking(), layers.Dense(9, name="dense"), layers.GRU(3)]
    )
    x = np.random.default_rng(0).normal(size=(5, 7, 4)).astype("float32")
    x[:, 4:] = 0
    before = model(x).numpy()
    wrapped = wrap(model, {"dense": 0.5}, PruneConfig(), Window(50, 60, 10))
    np.testing.assert_allclose(wrapped(x).numpy(), before, atol=1e-6)


PENALTY = {"activity_regularizer": tf_keras.regularizers.L1L2(0.02, 0.03)}


def regular() -> tf_keras.Model:
    """A regularized layer that is called twice, and one in a nested model called twice."""
    inner = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(4, **PENALTY)], name="inner")
    shared = layers.Dense(4, **PENALTY)
    given = tf_keras.Input((4,))
    x = shared(shared(inner(inner(given))))
    x = layers.Dense(4, kernel_regularizer="l2", bias_regularizer="l1")(x)
    return tf_keras.Model(given, layers.ActivityRegularization(0.1, 0.2)(x))


def added() -> tf_keras.Model:
    given = tf_keras.Input((4,))
    x = layers.Dense(5)(given)
    model = tf_keras.Model(given, layers.Dense(3)(x))
    model.add_loss(tf.reduce_mean(tf.square(x)))
    return model


REGULARIZED: dict[str, Callable[[], tf_keras.Model]] = {
    "shared and nested": regular,
    "recurrent": lambda: tf_keras.Sequential(
        [
            layers.InputLayer((5, 4)),
            layers.Conv1D(4, 2, **PENALTY),
            layers.TimeDistributed(layers.Dense(3, **PENALTY)),
            layers.SimpleRNN(3, **PENALTY),
        ]
    ),
    "add_loss": added,
}


@pytest.mark.parametrize("make", REGULARIZED.values(), ids=list(REGULARIZED))
def test_the_loss_has_the_penalties_that_keras_counts(make: Callable[[], tf_keras.Model]) -> None:
    """Step by step as in ``fit`` of the same model without wrappers, whose masks leave all as is;
    graphs that were traced before do not matter.
    """
    tf_keras.utils.set_random_seed(2)
    model = make()
    twin = tf_keras.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    random = np.random.default_rng(1)
    x = random.normal(size=(16, *model.input_shape[1:])).astype("float32")
    y = random.normal(size=(16, *model.output_shape[1:])).astype("float32")
    tf.function(model)(x)
    wanted = targets(plan_layers(model, PruneConfig(min_weights=1)), "m")
    wrapped = wrap(model, wanted, PruneConfig(), Window(50, 60, 10))
    for it in (wrapped, twin):
        it.compile(tf_keras.optimizers.SGD(0.05), "mse")
    stage = Stage("prune", lambda _: None)
    found = fine_tune(wrapped, InOrder(x, y, size=8), TrainingSettings(2, 2), no_metrics, stage)
    by_keras = twin.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose([it.metrics["loss"] for it in found], by_keras, rtol=1e-4)
    assert regularized(model)
