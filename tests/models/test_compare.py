"""compare: models differ in padding, signs, sizes and integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.models.compare import TOLERANCE, Rows, difference, rows_of
from job.models.random_inputs import on_random_inputs

layers = tf_keras.layers


def model(call: Callable[[tf.Tensor], tf.Tensor], dtype: str = "float32") -> tf_keras.Model:
    given = tf_keras.Input((6,), dtype=dtype)
    return tf_keras.Model(given, call(given))


@pytest.mark.parametrize(
    ("dtype", "one", "other"),
    [
        ("float32", tf.nn.relu, tf.identity),  # negative values
        ("float32", tf.nn.relu6, tf.nn.relu),  # large ones
        ("float32", lambda x: tf.cast(tf.equal(x, 0), tf.int32), lambda x: tf.cast(x * 0, "int32")),
        (
            "uint8",
            lambda x: tf.cast(x, tf.float32),
            lambda x: tf.cast(tf.cast(x, "int8"), "float32"),
        ),
        ("int8", lambda x: tf.cast(x, tf.int32), lambda x: tf.abs(tf.cast(x, tf.int32))),
        ("int32", tf.abs, tf.identity),
        ("bool", lambda x: tf.cast(x, tf.int32), lambda x: tf.ones_like(x, tf.int32)),
    ],
)
def test_random_rows_reveal_a_difference(
    dtype: str, one: Callable[..., tf.Tensor], other: Callable[..., tf.Tensor]
) -> None:
    """Each pair is equal on values from 0 to 1, or on integers that are zero."""
    assert difference(model(one, dtype), model(other, dtype)) > TOLERANCE
    assert difference(model(one, dtype), model(one, dtype)) == 0


@pytest.mark.parametrize("side", [slice(0, 2), slice(-2, None)])
def test_rows_of_tokens_are_padded_on_either_side(side: slice) -> None:
    """The difference is only visible in a row that is padded on that side."""
    table = layers.Embedding(50, 3)

    def padded(x: tf.Tensor) -> tf.Tensor:
        none = tf.reduce_all(tf.equal(x[:, side], 0), axis=1)
        some = tf.reduce_any(tf.not_equal(x, 0), axis=1)
        alone = tf.cast(tf.logical_and(none, some), tf.float32)
        return table(x) * (1 + alone[:, None, None])

    assert difference(model(table, "int32"), model(padded, "int32")) > 1e-3


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_inputs_may_be_one_number_for_each_row(dtype: str) -> None:
    """Zero is among them."""
    given = tf_keras.Input((), dtype=dtype)
    one, other = (
        tf_keras.Model(given, tf.cast(tf.equal(tf.cast(given, "int32"), 0), "int32") + it)
        for it in (0, 1)
    )
    assert difference(one, one) == 0
    assert difference(one, other) > TOLERANCE
    assert on_random_inputs(one, lambda rows: rows[0].shape) == (2,)
    nothing = tf_keras.Model(given, tf.cast(given, tf.int32) * 0)
    assert difference(one, nothing) > TOLERANCE


def test_equal_nan_and_equal_infinity_are_no_difference() -> None:
    """NaN and a number differ, in either order."""
    one = model(lambda x: tf.math.log(x) / x)
    assert difference(one, one) == 0
    other = model(lambda x: tf.where(x > 0, tf.math.log(x) / x, tf.zeros_like(x)))
    assert not difference(one, other) <= TOLERANCE


def test_large_outputs_are_compared_relatively() -> None:
    """A sum of large numbers in another order is equal; half a percent is a difference."""
    one = model(lambda x: x * 1e6)
    assert difference(one, model(lambda x: x * 1e6 * (1 + 1e-6))) <= TOLERANCE
    assert difference(one, model(lambda x: x * 1e6 * 1.005)) > 1e-3


def test_given_rows_are_compared() -> None:
    """These models only differ there."""
    one, other = model(tf.identity), model(lambda x: tf.where(x > 5000, 0.0, x))
    assert difference(one, other) == 0
    rows = rows_of([np.full((1, 6), 6000, "float32")])
    assert rows == Rows(rows.inputs, 600.0)
    assert difference(one, other, rows) * rows.scale == pytest.approx(1)


def test_integers_are_in_the_range_that_the_model_accepts() -> None:
    """A table of four rows without an Embedding: with larger integers the model fails."""
    table = tf.constant([[1.0], [2.0], [3.0], [4.0]])
    one = model(lambda x: tf.gather(table, x), "int32")
    two = model(lambda x: tf.gather(table * 2, x), "int32")
    assert difference(one, one) == 0
    assert difference(one, two) > 0.5
    assert [it.shape for it in on_random_inputs(one, lambda rows: (one(rows), rows)[1])] == [(2, 6)]
