"""The baseline on rows of the data; the scale that it was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.metrics.quality import keras_predictor
from job.objective.losses import Objective
from job.rows.data import Split
from job.worker.baseline_checks import check_scale, evidence, masked, refuse_nan, rows_of

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 300)
PIXELS = (RANDOM.integers(0, 100, (300, 6)) + 120 * LABELS[:, None]).astype("uint8")
OBJECTIVES = {"out": Objective("binary_crossentropy", True, ("accuracy",), "")}


def brighter_than(border: float, sharp: float) -> Any:
    """A model that says whether the mean of a row is over a border, as a logit."""
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((6,)), tf_keras.layers.Dense(1)])
    model.set_weights(
        [np.full((6, 1), sharp / 6, "float32"), np.full(1, -border * sharp, "float32")]
    )
    return keras_predictor(model)


def split(scale: float) -> Split:
    return Split((PIXELS,), (LABELS[:, None],), scale, ("float32",))


def test_rows_are_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first to the last, and few where they are large."""
    rows = rows_of(split(1))
    assert (rows[0], rows[-1], len(rows)) == (0, 299, 256)
    monkeypatch.setattr("job.worker.baseline_checks.MAX_BYTES", 60)
    assert list(rows_of(split(1))) == [0, 299]
    (seen,) = evidence(brighter_than(110, 1), split(1))
    assert seen is not None
    assert (seen.rows, seen.targets.tolist()) == (2, LABELS[[0, 299], None].tolist())


def test_a_wrong_scale_is_reported_with_the_right_one() -> None:
    """Measured, in both directions; the right one is confirmed and the doubt is gone."""
    of_shares, of_bytes = brighter_than(110 / 255, 40), brighter_than(110, 40 / 255)
    for predict, wrong, right in ((of_shares, 1.0, 1 / 255), (of_bytes, 1 / 255, 1.0)):
        found = check_scale(predict, split(wrong), OBJECTIVES)
        (warning,) = found.warnings(["a doubt"])
        assert warning.endswith(f"Set dataset.scale to {right:.17g}.")
        assert found.figures[right]["accuracy"] > 0.95
        assert found.figures[wrong]["accuracy"] < 0.6
        found = check_scale(predict, split(right), OBJECTIVES)
        assert found.is_right
        assert list(found.warnings(["a doubt"])) == []
    nothing = check_scale(brighter_than(1e3, 1e-9), split(1.0), OBJECTIVES)
    assert list(nothing.warnings(["a doubt"])) == ["a doubt"]


def test_numbers_that_are_no_bytes_have_no_other_scale() -> None:
    """Fractions, and numbers from -3 to 3, are left alone."""
    rows = RANDOM.normal(size=(30, 6)).astype("float32")
    given = Split((rows,), (LABELS[:30, None],), 1.0, ("float32",))
    assert check_scale(brighter_than(0, 1), given, OBJECTIVES).figures == {}


def test_an_output_with_a_mask_is_reported() -> None:
    """Keras's training leaves padded steps out, metrics do not."""
    layers = tf_keras.layers
    given = tf_keras.Input((5,))
    steps = layers.Dense(2)(layers.Embedding(9, 4, mask_zero=True)(given))
    whole = layers.Dense(2)(layers.LSTM(3)(layers.Embedding(9, 4, mask_zero=True)(given)))
    model = tf_keras.Model(given, [steps, whole])
    (warning,) = masked(model, ["steps", "whole"])
    assert warning.startswith("The output steps has a mask.")


def test_weights_that_are_no_numbers_are_refused() -> None:
    """By name, also where no output shows them; infinite ones may be meant."""
    model = tf_keras.Sequential(
        [tf_keras.layers.InputLayer((2,)), tf_keras.layers.Dense(3, name="broken"),
         tf_keras.layers.ReLU(), tf_keras.layers.Dense(1, name="last")]
    )  # fmt: skip
    refuse_nan(model, "m.h5")
    for name, value in (("broken", np.nan), ("last", np.inf)):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[0, 0] = value
        model.get_layer(name).set_weights([kernel, bias])
    with pytest.raises(
        InputError, match=r"Weights of the model are NaN: broken/kernel:0\."
    ) as caught:
        refuse_nan(model, "m.h5")
    assert (caught.value.where, caught.value.exit_code) == ("m.h5", 3)
