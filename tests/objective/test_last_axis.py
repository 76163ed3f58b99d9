"""Whether the last axis of an output holds classes is told by the graph, not by its size."""

# ruff: noqa: PLW0108 - a layer is made in its test

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf
import tf_keras

from job.models.keras3 import rebuild
from job.objective.last_axis import last_axis

L = tf_keras.layers
Make = Callable[[Any], Any]


def mask(x: Any, filters: int = 1) -> Any:
    return L.Conv2D(filters, 1, activation="sigmoid")(x)


def labels(x: Any, units: int = 12) -> Any:
    return L.Dense(units, activation="sigmoid")(L.Flatten()(x))


def inside(x: Any) -> Any:
    given = tf_keras.Input((12, 12, 3))
    return tf_keras.Model(given, L.Reshape((12, 12))(mask(given)))(x)


POSITIONS: dict[str, Make] = {
    "Reshape": lambda x: L.Reshape((12, 12))(mask(x)),
    "Flatten": lambda x: L.Flatten()(mask(x)),
    "Reshape of logits": lambda x: L.Activation("sigmoid")(L.Reshape((12, 12))(L.Conv2D(1, 1)(x))),
    "twice": lambda x: L.Flatten()(L.Reshape((12, 12))(mask(x))),
    "cropped": lambda x: L.Reshape((8, 8))(L.Cropping2D(2)(mask(x))),
    "cropped after": lambda x: L.Cropping1D(2)(L.Reshape((12, 12))(mask(x))),
    "Permute": lambda x: L.Permute((3, 1, 2))(mask(x, 3)),
    "an index": lambda x: mask(x)[..., 0],
    "squeeze": lambda x: tf.squeeze(mask(x), -1),
    "tf.reshape": lambda x: tf.reshape(mask(x), [-1, 12, 12]),
    "tf.sigmoid": lambda x: tf.sigmoid(tf.reshape(L.Conv2D(1, 1)(x), [-1, 144])),
    "a nested model": inside,
    "Average": lambda x: L.Average()([L.Reshape((12, 12))(mask(x)) for _ in range(2)]),
    "steps": lambda x: L.Flatten()(L.LSTM(1, return_sequences=True)(L.Reshape((36, 12))(x))),
    "TimeDistributed": lambda x: L.Reshape((12, 12))(L.TimeDistributed(L.Dense(1))(x)),
}
CLASSES: dict[str, Make] = {
    "Dense": labels,
    "Activation": lambda x: L.Activation("sigmoid")(labels(x)),
    "tf.sigmoid": lambda x: tf.sigmoid(L.Dense(12)(L.Flatten()(x))),
    "Dropout": lambda x: L.Dropout(0.5)(labels(x)),
    "for each pixel": lambda x: mask(x, 12),
    "pooled": lambda x: L.GlobalMaxPooling2D()(mask(x, 12)),
    "reshaped before": lambda x: L.Reshape((144, 12))(mask(x, 12)),
    "cropped": lambda x: L.Cropping2D(2)(mask(x, 12)),
    "heads": lambda x: L.Concatenate()([labels(x, 1) for _ in range(4)]),
    "Dense after a mask": lambda x: labels(mask(x)),
    "Average": lambda x: L.Average()([labels(x), labels(x)]),
    "recurrent": lambda x: L.GRU(12)(L.Reshape((12, 36))(x)),
    "TimeDistributed": lambda x: L.TimeDistributed(L.Dense(12))(x),
}
UNCLEAR: dict[str, Make] = {
    "a mask of a Dense": lambda x: L.Reshape((12, 12))(labels(x, 144)),
    "classes by pixel in a row": lambda x: L.Flatten()(mask(x, 3)),
    "an unknown operation": lambda x: tf.reduce_sum(mask(x, 12), axis=-1),
}
EVERY = [
    *(("positions", *it) for it in POSITIONS.items()),
    *(("classes", *it) for it in CLASSES.items()),
    *(("unclear", *it) for it in UNCLEAR.items()),
]


@pytest.mark.parametrize(("wanted", "_name", "make"), EVERY, ids=[" ".join(it[:2]) for it in EVERY])
def test_the_graph_tells_classes_from_positions(wanted: str, _name: str, make: Make) -> None:
    """Where it can't, nothing is guessed."""
    given = tf_keras.Input((12, 12, 3))
    model = tf_keras.Model(given, make(given))
    assert last_axis(model.outputs[0]) == wanted


def test_layers_and_operations_of_keras_3_are_followed() -> None:
    """A model that is rebuilt has some of them as they were."""
    given = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(1, 1)(given)
    several = keras.layers.Dense(12)(keras.layers.Flatten()(given))
    answers = [
        keras.ops.sigmoid(keras.ops.reshape(x, (-1, 12, 12))),
        keras.ops.squeeze(keras.ops.sigmoid(x), -1),
        keras.ops.transpose(keras.ops.sigmoid(x), (0, 3, 1, 2)),
        keras.ops.sigmoid(several),
    ]
    model = rebuild(keras.Model(given, answers), "here")
    assert [last_axis(it) for it in model.outputs] == [*["positions"] * 3, "classes"]
