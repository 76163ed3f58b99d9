"""random_layers: models that are random, or that inference changes, are recognized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.models.compare import difference
from job.models.load import read, save
from job.models.random_layers import is_random

layers = tf_keras.layers


def called_in_training(*some: tf_keras.layers.Layer, shape: tuple[int, ...]) -> tf_keras.Model:
    given = x = tf_keras.Input(shape)
    for layer in some:
        x = layer(x, training=True)
    return tf_keras.Model(given, layers.Dense(3)(layers.Flatten()(x)))


def nested(layer: tf_keras.layers.Layer) -> tf_keras.Model:
    inner = tf_keras.Sequential([layers.InputLayer((8,)), layers.Dense(8), layer], name="inner")
    return called_in_training(inner, shape=(8,))


def sampling() -> tf_keras.Model:
    """A variational autoencoder, with the loss that it adds."""
    given = tf_keras.Input((8,))
    mean, spread = layers.Dense(2)(given), layers.Dense(2)(given)
    drawn = mean + tf.exp(0.5 * spread) * tf.random.normal(tf.shape(mean))
    model = tf_keras.Model(given, layers.Dense(8)(drawn))
    model.add_loss(tf.reduce_mean(tf.square(mean)))
    return model


RANDOM: dict[str, Callable[[], tf_keras.Model]] = {
    "dropout": lambda: called_in_training(layers.Dropout(0.5), shape=(8,)),
    "seeded": lambda: called_in_training(layers.Dropout(0.5, seed=3), shape=(8,)),
    "noise": lambda: called_in_training(
        layers.GaussianNoise(0.5), layers.GaussianDropout(0.3), layers.AlphaDropout(0.3), shape=(8,)
    ),
    "recurrent": lambda: called_in_training(layers.SimpleRNN(3, dropout=0.5), shape=(4, 2)),
    "nested": lambda: nested(layers.Dropout(0.5)),
    "sampling": sampling,
}


@pytest.mark.parametrize("make", RANDOM.values(), ids=list(RANDOM))
def test_a_random_model_is_recognized_and_saved_as_it_is(
    make: Callable[[], tf_keras.Model], tmp_path: Path
) -> None:
    """The file that is written loads, and its outputs differ from call to call as before."""
    tf.random.set_seed(11)
    path = tmp_path / "model.h5"
    make().save(path)
    found = read(path)
    assert found.effects.random
    again = save(found.model, found, tmp_path / "again.h5")
    assert is_random(again.model)
    assert difference(found.model, again.model) <= 1e-6  # with equal draws
    rows = np.random.default_rng(2).random((16, *again.model.input_shape[1:])).astype("float32")
    drawn = [np.asarray(again.model(rows)) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


@pytest.mark.parametrize("make", [layers.Dropout, layers.GaussianNoise, layers.AlphaDropout])
def test_layers_that_are_only_random_in_training_are_not_random(
    make: Callable[[float], tf_keras.layers.Layer],
) -> None:
    model = tf_keras.Sequential([layers.InputLayer((4,)), make(0.5), layers.Dense(2)])
    assert not is_random(model)


def test_a_model_that_inference_changes_is_refused(tmp_path: Path) -> None:
    """BatchNormalization with training=True; not if it is frozen, since it then changes nothing."""
    path = tmp_path / "model.h5"
    called_in_training(layers.BatchNormalization(name="norm"), shape=(8,)).save(path)
    with pytest.raises(InputError, match=r"Inference changes the model .at norm"):
        read(path)
    called_in_training(layers.BatchNormalization(trainable=False), shape=(8,)).save(path)
    assert not read(path).effects.random
