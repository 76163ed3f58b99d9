"""wrapper: nothing but the weights of its layer is changed; padding stays padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from job.manifest.prune import PruneConfig
from job.models.layers import plan_layers, targets
from job.stages.prune import Window, wrap

layers = tf_keras.layers


def words(*rest: tf_keras.layers.Layer) -> tf_keras.Model:
    """Words, of which 0 is padding."""
    given = layers.Embedding(30, 8, mask_zero=True)
    return tf_keras.Sequential([layers.InputLayer((7,)), given, *rest])


def attended() -> tf_keras.Model:
    given = tf_keras.Input((7,))
    x = layers.Embedding(30, 8, mask_zero=True)(given)
    x = layers.MultiHeadAttention(2, 8)(x, layers.Dense(8)(x))
    return tf_keras.Model(given, layers.GlobalAveragePooling1D()(x))


def translated() -> tf_keras.Model:
    """A decoder that goes on from the encoder's state, of both directions."""
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
def test_padding_is_padding_in_the_wrapped_model_too(
    make: Callable[[], tf_keras.Model], training: bool
) -> None:
    """Before the first mask is worked out, the wrapped model answers as the model does."""
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
    """Words, three of each seven padding."""
    drawn = np.random.default_rng(0).integers(1, 30, (rows, 7)).astype("float32")
    drawn[:, 4:] = 0
    return drawn


def test_a_layer_that_takes_no_mask_gets_none() -> None:
    """``Masking`` before a Dense layer; tfmot's own wrapper raises a TypeError."""
    tf_keras.utils.set_random_seed(2)
    model = tf_keras.Sequential(
        [layers.InputLayer((7, 4)), layers.Masking(), layers.Dense(9, name="dense"), layers.GRU(3)]
    )
    x = np.random.default_rng(0).normal(size=(5, 7, 4)).astype("float32")
    x[:, 4:] = 0
    before = model(x).numpy()
    wrapped = wrap(model, {"dense": 0.5}, PruneConfig(), Window(50, 60, 10))
    np.testing.assert_allclose(wrapped(x).numpy(), before, atol=1e-6)
