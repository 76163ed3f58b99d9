"""What the graph says of an output is checked on the model's outputs."""

# ruff: noqa: PLW0108 - a layer is made in its test, after the seed is set

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.models.keras3 import rebuild
from job.objective.endings import ending

L = tf_keras.layers
Make = Callable[[Any], Any]


def soft(x: Any) -> Any:
    return L.Dense(5, activation="softmax")(x)


def sig(x: Any) -> Any:
    return L.Dense(5, activation="sigmoid")(x)


def lin(x: Any) -> Any:
    return L.Dense(5)(x)


def nested(*last: Any, shape: tuple[int, ...] = (4, 6)) -> tf_keras.Model:
    return tf_keras.Sequential([L.InputLayer(shape), *last])


DISTRIBUTIONS: dict[str, Make] = {
    "softmax": soft,
    "Softmax": lambda x: L.Softmax()(lin(x)),
    "Activation": lambda x: L.Activation("softmax")(lin(x)),
    "a layer as an activation": lambda x: L.Dense(5, activation=L.Softmax())(x),
    "tf.nn.softmax": lambda x: tf.nn.softmax(lin(x)),
    "TimeDistributed": lambda x: L.TimeDistributed(L.Dense(5, activation="softmax"))(x),
    "TimeDistributed model": lambda x: L.TimeDistributed(
        nested(L.Dense(5), L.Softmax(), shape=(6,))
    )(x),
    "Reshape": lambda x: L.Reshape((2, 2, 5))(soft(x)),
    "Cropping": lambda x: L.Cropping1D(1)(soft(x)),
    "Dropout": lambda x: L.Dropout(0.5)(soft(x)),
    "pooling": lambda x: L.GlobalAveragePooling1D()(soft(x)),
    "Average": lambda x: L.Average()([soft(x), soft(x)]),
    "a weighted mean": lambda x: 0.25 * soft(x) + 0.75 * soft(x),
    "Concatenate of steps": lambda x: L.Concatenate(axis=1)([soft(x), soft(x)]),
    "Permute": lambda x: L.Permute((2, 1))(tf.nn.softmax(L.Permute((2, 1))(lin(x)), axis=1)),
    "transpose": lambda x: tf.transpose(
        tf.nn.softmax(tf.transpose(lin(x), [0, 2, 1]), 1), [0, 2, 1]
    ),
    "an index": lambda x: soft(x)[:, -1],
    "reduce_mean": lambda x: tf.reduce_mean(tf.stack([soft(x), soft(x)], 1), axis=1),
    "exp": lambda x: tf.exp(tf.nn.log_softmax(lin(x))),
    "nested twice": lambda x: nested(nested(L.Dense(5), L.Softmax()), L.Dropout(0.1))(x),
    "a nested model that keeps it": lambda x: nested(
        L.Reshape((2, 2, 5)), L.Dropout(0.1), shape=(4, 5)
    )(soft(x)),
    "a softmax RNN": lambda x: L.SimpleRNN(3, activation="softmax")(x),
    "RepeatVector": lambda x: L.RepeatVector(3)(soft(x)[:, 0]),
    "Attention": lambda x: L.Attention()([soft(x), soft(x)]),
}
PROBABILITIES: dict[str, Make] = {
    "sigmoid": sig,
    "hard_sigmoid": lambda x: L.Dense(5, activation="hard_sigmoid")(x),
    "tf.sigmoid": lambda x: tf.sigmoid(lin(x)),
    "Flatten": lambda x: L.Flatten()(sig(x)),
    "Flatten of a softmax": lambda x: L.Flatten()(soft(x)),
    "Multiply": lambda x: L.Multiply()([soft(x), sig(x)]),
    "Concatenate": lambda x: L.Concatenate()([soft(x), sig(x)]),
    "Maximum": lambda x: L.Maximum()([soft(x), soft(x)]),
    "max pooling": lambda x: L.GlobalMaxPooling1D()(soft(x)),
    "padding": lambda x: L.ZeroPadding1D(1)(sig(x)),
    "1 - x": lambda x: 1 - sig(x),
    "tanh in 0..1": lambda x: tf.tanh(lin(x)) * 0.5 + 0.5,
    "clip": lambda x: tf.clip_by_value(lin(x), 0, 1),
    "a part of the classes": lambda x: soft(x)[..., 1:],
    "ReLU(max_value=1)": lambda x: L.ReLU(max_value=1)(lin(x)),
    "a sigmoid RNN": lambda x: L.SimpleRNN(3, activation="sigmoid")(x),
    "a sigmoid LSTM": lambda x: L.LSTM(3, activation="sigmoid", return_sequences=True)(x),
    "Bidirectional": lambda x: L.Bidirectional(L.GRU(3, activation="sigmoid"))(x),
    "upsampling": lambda x: L.UpSampling1D(2)(sig(x)),
}
OTHERS: dict[str, tuple[Make, str]] = {
    "linear": (lin, "unbounded"),
    "a layer after it": (lambda x: L.BatchNormalization()(soft(x)), "unbounded"),
    "Dense after it": (lambda x: lin(soft(x)), "unbounded"),
    "Add": (lambda x: L.Add()([lin(x), sig(x)]), "unbounded"),
    "tanh": (lambda x: L.Dense(5, activation="tanh")(x), "bounded"),
    "a sum of sigmoids": (lambda x: L.Add()([sig(x), sig(x)]), "bounded"),
    "another axis": (lambda x: L.Softmax(axis=1)(lin(x)), "other_axis"),
    "Permute of it": (lambda x: L.Permute((2, 1))(soft(x)), "other_axis"),
    "log_softmax": (lambda x: tf.nn.log_softmax(lin(x)), "log_distribution"),
    "log": (lambda x: tf.math.log(sig(x)), "log_probabilities"),
    "dropout that stays on": (lambda x: L.Dropout(0.5)(sig(x), training=True), "unknown"),
    "a quotient": (lambda x: sig(x) / tf.reduce_sum(sig(x), -1, keepdims=True), "unknown"),
    "bicubic": (
        lambda x: L.UpSampling2D(2, interpolation="bicubic")(L.Reshape((2, 2, 5))(sig(x))),
        "unknown",
    ),
}
TABLE = [
    *((make, "distribution", name) for name, make in DISTRIBUTIONS.items()),
    *((make, "probabilities", name) for name, make in PROBABILITIES.items()),
    *((make, kind, name) for name, (make, kind) in OTHERS.items()),
]
ROWS = np.random.default_rng(0).normal(0, 3, (8, 4, 6)).astype("float32")


@pytest.mark.parametrize(("make", "kind"), [it[:2] for it in TABLE], ids=[it[2] for it in TABLE])
def test_what_the_graph_says_holds_for_the_outputs(make: Make, kind: str) -> None:
    """A distribution sums to one along the last axis; bounds hold for every value."""
    tf_keras.utils.set_random_seed(1)
    given = tf_keras.Input((4, 6))
    model = tf_keras.Model(given, make(given))
    found = ending(model.outputs[0])
    assert found.kind == kind, found
    values = np.asarray(model(ROWS, training=False), np.float64)
    assert values.min() >= found.low - 1e-6
    assert values.max() <= found.high + 1e-6
    if kind in ("distribution", "log_distribution"):
        sums = (np.exp(values) if kind.startswith("log") else values).sum(axis=-1)
        assert sums == pytest.approx(1, abs=1e-5)
    elif kind == "probabilities" and values.shape[-1] > 1:
        assert np.abs(values.sum(axis=-1) - 1).max() > 1e-3


K = keras.layers
KERAS3: dict[str, tuple[Callable[[Any], Any], str]] = {
    "softmax": (keras.ops.softmax, "distribution"),
    "log_softmax": (keras.ops.log_softmax, "log_distribution"),
    "sigmoid": (keras.ops.sigmoid, "probabilities"),
    "sparse_sigmoid": (keras.ops.sparse_sigmoid, "probabilities"),
    "hard_sigmoid": (keras.activations.hard_sigmoid, "probabilities"),
    "1 - x": (lambda x: 1 - keras.ops.sigmoid(x), "probabilities"),
    "a logistic function": (lambda x: 1 / (1 + keras.ops.exp(-K.Dense(5)(x))), "probabilities"),
    "where": (lambda x: keras.ops.where(x > 0, keras.ops.sigmoid(x), 0.5), "probabilities"),
    "truth values": (lambda x: keras.ops.cast(x > 0, "float32"), "probabilities"),
    "Softmax with a mask": (lambda x: K.Softmax()(x, mask=x > -9.0), "distribution"),
    "swapaxes": (lambda x: keras.ops.swapaxes(keras.ops.softmax(x), 1, 2), "other_axis"),
    "moveaxis": (lambda x: keras.ops.moveaxis(keras.ops.softmax(x, 1), 1, 2), "distribution"),
    "average": (lambda x: keras.ops.average(keras.ops.softmax(x), axis=1), "distribution"),
    "AdaptiveAveragePooling": (
        lambda x: K.AdaptiveAveragePooling1D(2)(keras.ops.softmax(x)),
        "distribution",
    ),
    "Bidirectional": (
        lambda x: K.Bidirectional(K.SimpleRNN(3, activation="sigmoid"))(x),
        "probabilities",
    ),
    "celu": (keras.ops.celu, "bounded"),
    "relu": (keras.activations.relu, "bounded"),
    "sparsemax": (keras.ops.sparsemax, "bounded"),  # its rows do not sum to one
    "soft_shrink": (keras.ops.soft_shrink, "unbounded"),
}


@pytest.mark.parametrize(("make", "kind"), KERAS3.values(), ids=KERAS3)
def test_it_holds_for_models_of_keras_3(make: Callable[[Any], Any], kind: str) -> None:
    """For functions, and for layers that are called as they are in Keras 3."""
    given = keras.Input((4, 6))
    model = keras.Model(given, make(given))
    rebuilt = rebuild(model, "a.keras")
    found = ending(rebuilt.outputs[0])
    assert found.kind == kind, found
    values = np.asarray(model(ROWS), np.float64)
    cloned = tf_keras.models.clone_model(rebuilt, clone_function=lambda layer: layer)  # to prune it
    assert np.asarray(cloned(ROWS)) == pytest.approx(values, abs=1e-6)
    assert values.min() >= found.low - 1e-6
    assert values.max() <= found.high + 1e-6
    if kind == "distribution":
        assert values.sum(axis=-1) == pytest.approx(1, abs=1e-5)


def test_layers_after_the_activation_are_named() -> None:
    """The activation is named, too."""
    given = tf_keras.Input((4, 6))
    model = tf_keras.Model(given, L.Flatten(name="flat")(soft(given)))
    assert ending(model.outputs[0]).text == "the model ends in softmax, kept by Flatten flat"
