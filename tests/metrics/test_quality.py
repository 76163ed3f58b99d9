"""Metrics are those that NumPy computes on all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.errors import StageError
from job.metrics import quality
from job.metrics.quality import (
    MAX_BATCH_BYTES,
    MAX_ROWS,
    Inputs,
    Outputs,
    Quality,
    Samples,
    batch_rows,
    evaluate,
    keras_predictor,
    mean_of_passes,
)
from job.objective.losses import Objective, compile_options

layers = tf_keras.layers
Floats = NDArray[np.float64]
Array = NDArray[np.generic]
ROWS, CLASSES = 1203, 7  # two whole batches and a rest of 203
RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(ROWS, CLASSES)) * 2
# The rest is much worse than the batches before it: a mean of means would show.
OUTPUTS[1000:] *= -3
LABELS = np.where(RANDOM.random(ROWS) < 0.6, OUTPUTS.argmax(axis=1), 3)
LABELS[1000:] = OUTPUTS[1000:].argmin(axis=1)
ONE_HOT = np.eye(CLASSES)[LABELS]
MANY_HOT = (RANDOM.normal(size=(ROWS, CLASSES)) + OUTPUTS > 0).astype("float32")
REAL = OUTPUTS + RANDOM.normal(size=OUTPUTS.shape)


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def judge(objective: Objective, outputs: Floats, targets: Array) -> Quality:
    """Evaluate given outputs: the model returns its inputs."""
    values = outputs.astype("float32")

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Array, ...]]:
        return (values[start:stop],), (targets[start:stop],)

    return evaluate(identity, Samples(read, len(values)), {"out": objective}, lambda *_: None)


def identity(inputs: Inputs) -> Outputs:
    """A model that returns its inputs."""
    return tuple(it.astype("float32") for it in inputs)


def objective(loss: str, *metrics: str, logits: bool | None = None) -> Objective:
    return Objective(loss, logits, metrics, "")


@pytest.mark.parametrize("logits", [True, False])
def test_sparse_accuracy_and_loss_match_numpy(logits: bool) -> None:
    """For class indices: arg max, and the logarithm of the right class's probability."""
    names = ("accuracy", "sparse_top_k_categorical_accuracy")
    asked = objective("sparse_categorical_crossentropy", *names, logits=logits)
    probabilities = softmax(OUTPUTS)
    found = judge(asked, OUTPUTS if logits else probabilities, LABELS).metrics
    picked = probabilities[np.arange(ROWS), LABELS]
    clipped = picked if logits else np.clip(picked, 1e-7, 1 - 1e-7)
    assert found["loss"] == pytest.approx(-np.log(clipped).mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx(np.mean(OUTPUTS.argmax(axis=1) == LABELS), abs=1e-6)
    right = OUTPUTS[np.arange(ROWS), LABELS]
    rank = (right[:, None] < OUTPUTS).sum(axis=1)
    top = found["sparse_top_k_categorical_accuracy"]
    assert top == pytest.approx(np.mean(rank < 5), abs=1e-6)


@pytest.mark.parametrize("logits", [True, False])
def test_categorical_accuracy_and_loss_match_numpy(logits: bool) -> None:
    """For one-hot rows: the same figures as with class indices."""
    names = ("accuracy", "top_k_categorical_accuracy")
    asked = objective("categorical_crossentropy", *names, logits=logits)
    probabilities = softmax(OUTPUTS)
    found = judge(asked, OUTPUTS if logits else probabilities, ONE_HOT).metrics
    picked = (probabilities * ONE_HOT).sum(axis=1)
    clipped = picked if logits else np.clip(picked, 1e-7, 1 - 1e-7)
    assert found["loss"] == pytest.approx(-np.log(clipped).mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx(np.mean(OUTPUTS.argmax(axis=1) == LABELS), abs=1e-6)
    assert found["top_k_categorical_accuracy"] > found["accuracy"]


@pytest.mark.parametrize("logits", [True, False])
def test_binary_metrics_match_numpy(logits: bool) -> None:
    """The threshold is 0 for logits and 0.5 for probabilities."""
    names = ("accuracy", "precision", "recall", "auc")
    asked = objective("binary_crossentropy", *names, logits=logits)
    found = judge(asked, OUTPUTS if logits else sigmoid(OUTPUTS), MANY_HOT).metrics
    p = sigmoid(OUTPUTS)
    entropy = -(MANY_HOT * np.log(p) + (1 - MANY_HOT) * np.log(1 - p))
    assert found["loss"] == pytest.approx(entropy.mean(), rel=1e-4)
    yes, right = OUTPUTS > 0, MANY_HOT == 1
    assert found["accuracy"] == pytest.approx(np.mean(yes == right), abs=1e-6)
    assert found["precision"] == pytest.approx((yes & right).sum() / yes.sum(), abs=1e-6)
    assert found["recall"] == pytest.approx((yes & right).sum() / right.sum(), abs=1e-6)
    order = OUTPUTS.ravel().argsort().argsort() + 1.0
    positives = right.ravel().sum()
    pairs = positives * (right.size - positives)
    area = (order[right.ravel()].sum() - positives * (positives + 1) / 2) / pairs
    assert found["auc"] == pytest.approx(area, abs=0.005)  # Keras sums 200 thresholds


def test_errors_of_a_regression_match_numpy() -> None:
    """Mean squared, absolute and root mean squared error, and the cosine, of all rows."""
    names = (
        "mean_squared_error",
        "mean_absolute_error",
        "root_mean_squared_error",
        "cosine_similarity",
    )
    found = judge(objective("mean_squared_error", *names), OUTPUTS, REAL).metrics
    error = OUTPUTS - REAL
    assert found["loss"] == pytest.approx((error**2).mean(), rel=1e-5)
    assert found["mean_squared_error"] == pytest.approx((error**2).mean(), rel=1e-5)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert found["root_mean_squared_error"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-5)
    norms = np.linalg.norm(OUTPUTS, axis=1) * np.linalg.norm(REAL, axis=1)
    cosine = ((OUTPUTS * REAL).sum(axis=1) / norms).mean()
    assert found["cosine_similarity"] == pytest.approx(cosine, rel=1e-5)
    absolute = judge(objective("mean_absolute_error"), OUTPUTS, REAL)
    assert absolute.metrics == {"loss": pytest.approx(np.abs(error).mean(), rel=1e-5)}


def test_every_row_is_predicted_once_and_reported() -> None:
    """The outputs are in the rows' order; progress ends with all rows."""
    reported: list[tuple[int, int]] = []
    values = OUTPUTS.astype("float32")
    seen: list[int] = []

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Array, ...]]:
        return (values[start:stop],), (REAL[start:stop],)

    def predict(inputs: Inputs) -> Outputs:
        seen.append(len(inputs[0]))
        return (inputs[0].astype("float32") * 2,)

    asked = {"out": objective("mean_squared_error")}
    found = evaluate(predict, Samples(read, ROWS), asked, lambda *it: reported.append(it))
    assert seen == [500, 500, 203]
    assert reported == [(500, ROWS), (1000, ROWS), (ROWS, ROWS)]
    np.testing.assert_array_equal(found.outputs[0], values * 2)


def test_only_the_first_rows_of_large_outputs_are_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics are still of all rows."""
    monkeypatch.setattr(quality, "MAX_RETAINED_BYTES", 500 * CLASSES * 4 + 1)
    found = judge(objective("mean_squared_error"), OUTPUTS, REAL)
    np.testing.assert_array_equal(found.outputs[0], OUTPUTS[:1000].astype("float32"))
    assert found.metrics["loss"] == pytest.approx(((OUTPUTS - REAL) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_an_error(value: float) -> None:
    """Even in the last rows; the message names the rows."""
    outputs = OUTPUTS.copy()
    outputs[1202, 6] = value
    with pytest.raises(StageError, match="NaN or infinite") as caught:
        judge(objective("mean_squared_error"), outputs, REAL)
    assert caught.value.where == "rows 1000 to 1202 of those it is measured on"


@given(row_bytes=st.integers(0, 1 << 40))
@settings(deadline=None)
def test_a_batch_is_as_large_as_the_limits_allow(row_bytes: int) -> None:
    """At most 500 rows and 32 MiB, but at least one row; one more would be too many."""
    rows = batch_rows(row_bytes)
    assert 1 <= rows <= MAX_ROWS
    assert rows == 1 or rows * row_bytes <= MAX_BATCH_BYTES
    assert rows == MAX_ROWS or (rows + 1) * row_bytes > MAX_BATCH_BYTES


def test_a_predictor_uses_the_models_current_weights() -> None:
    """Its outputs are those of inference, for any number of rows, also after a change."""
    tf_keras.utils.set_random_seed(0)
    left, right = tf_keras.Input((4,), name="left"), tf_keras.Input((3,), name="right")
    hidden = layers.Dropout(0.5)(layers.Concatenate()([left, right]))
    dense = layers.Dense(5)
    predict = keras_predictor(tf_keras.Model([left, right], dense(hidden)))
    for rows in (1, 10, 3):
        x = RANDOM.normal(size=(rows, 7)).astype("float32")
        kernel, bias = dense.get_weights()
        (found,) = predict((x[:, :4], x[:, 4:]))
        np.testing.assert_allclose(found, x @ kernel + bias, atol=1e-5)
        dense.set_weights([kernel * 2, bias + 1])


def test_several_outputs_have_the_metrics_of_keras() -> None:
    """``loss`` is the weighted total; other names have the output's as prefix, as in Keras."""
    tf_keras.utils.set_random_seed(3)
    given = tf_keras.Input((CLASSES,))
    zeta = layers.Dense(CLASSES, name="zeta")(given)
    model = tf_keras.Model(given, [zeta, layers.Dense(2, name="alpha")(given)])
    asked = {
        "zeta": objective("sparse_categorical_crossentropy", "accuracy", logits=True),
        "alpha": replace(objective("huber", "mean_absolute_error"), weight=0.25),
    }
    x, y = OUTPUTS.astype("float32"), (LABELS, REAL[:, :2].astype("float32"))

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Array, ...]]:
        return (x[start:stop],), (y[0][start:stop], y[1][start:stop])

    found = evaluate(keras_predictor(model), Samples(read, ROWS), asked, lambda *_: None)
    model.compile("sgd", **compile_options(model, asked))
    wanted = model.evaluate(x, list(y), batch_size=500, verbose=0, return_dict=True)
    assert found.metrics == pytest.approx(wanted, rel=1e-5)
    assert next(iter(found.metrics)) == "loss"
    assert [it.shape for it in found.outputs] == [(ROWS, CLASSES), (ROWS, 2)]


@pytest.mark.parametrize("keys", [("zeta", "alpha"), ("alpha", "zeta")])
def test_outputs_of_a_dict_are_in_the_order_of_its_keys(keys: tuple[str, str]) -> None:
    """Whatever order it was written in; the same for inputs."""
    left, right = tf_keras.Input((1,), name="one"), tf_keras.Input((1,), name="two")
    outputs = {"zeta": layers.Rescaling(2.0)(left), "alpha": layers.Rescaling(3.0)(right)}
    model = tf_keras.Model({"b": left, "a": right}, {key: outputs[key] for key in keys})
    ones = np.ones((4, 1), "float32")
    alpha, zeta = keras_predictor(model)((ones * 10, ones))  # in the order a, b
    assert (alpha[0, 0], zeta[0, 0]) == (30, 2)


def test_metrics_and_outputs_are_means_over_passes() -> None:
    """Progress counts the rows of all passes."""
    progress: list[tuple[int, int]] = []
    values = iter([1.0, 2.0, 6.0])

    def once(advance: Callable[[int, int], None]) -> Quality:
        value = next(values)
        advance(10, 10)
        return Quality({"loss": value}, (np.full((2, 1), value, np.float32),))

    found = mean_of_passes(once, 3, lambda *it: progress.append(it))
    assert found.metrics == {"loss": 3.0}
    np.testing.assert_array_equal(found.outputs[0], np.full((2, 1), 3, np.float32))
    assert progress == [(10, 30), (20, 30), (30, 30)]


def test_an_output_of_one_number_for_each_row_is_judged_row_by_row() -> None:
    """As one of a column, with its intervals."""
    random = np.random.default_rng(2)
    targets, outputs = random.normal(size=(2, 200)).astype("float32")
    made = objective("mean_squared_error", "mean_absolute_error")
    found, column = judge(made, outputs, targets), judge(made, outputs[:, None], targets[:, None])
    assert found.metrics == column.metrics
    assert found.metrics["mean_absolute_error"] == pytest.approx(np.abs(outputs - targets).mean())
