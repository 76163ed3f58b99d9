"""The loss of a distilled output is the definition at the head of the module, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.objective.answers import Answer, AnswerKind
from job.objective.losses import Objective
from job.rows.batches import shuffled_batches
from job.rows.data import Split
from job.stages.distill import Distilled, TaughtBatches, variance, with_labels

ROWS, CLASSES = 40, 6
RANDOM = np.random.default_rng(3)
# Logits of the teacher and of the student, of vectors and of sequences.
LOGITS: dict[tuple[int, ...], tuple[Any, Any]] = {
    shape: (2 * RANDOM.normal(size=(ROWS, *shape)), 2 * RANDOM.normal(size=(ROWS, *shape)))
    for shape in ((CLASSES,), (7, CLASSES))
}
SHAPES = list(LOGITS)


def softmax(z: Any) -> Any:
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def distilled(kind: AnswerKind, *, logits: bool = False, **fields: Any) -> Distilled:
    asked: dict[str, Any] = {
        "units": CLASSES,
        "variance": 1.0,
        "temperature": 1.0,
        "label_weight": 0.0,
        "supervised": None,
    }
    return Distilled(answer=Answer(kind, logits, "the test"), **asked | fields)


def loss(of: Distilled, teacher: Any, student: Any) -> Any:
    """Of each row, or each of its parts."""
    given = (tf.constant(it, tf.float32) for it in (teacher, student))
    return of.loss().call(*given).numpy()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("logits", [True, False], ids=["logits", "probabilities"])
def test_classes_learn_by_the_divergence(
    shape: tuple[int, ...], temperature: float, logits: bool
) -> None:
    """T^2 KL(softmax(z / T) || softmax(z' / T)), along the last axis."""
    z = LOGITS[shape]
    p, q = (softmax(it / temperature) for it in z)
    wanted = temperature**2 * np.sum(p * np.log(p / q), axis=-1)
    given = z if logits else [softmax(it) for it in z]
    of = distilled("softmax", logits=logits, temperature=temperature)
    np.testing.assert_allclose(loss(of, *given), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("logits", [True, False], ids=["logits", "probabilities"])
def test_truth_values_learn_by_the_divergence_of_each(
    shape: tuple[int, ...], temperature: float, logits: bool
) -> None:
    """The mean of T^2 KL over the values of the last axis, of which each is a coin."""
    z = LOGITS[shape]
    p, q = (sigmoid(it / temperature) for it in z)
    each = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    given = z if logits else [sigmoid(it) for it in z]
    of = distilled("sigmoid", logits=logits, temperature=temperature)
    wanted = temperature**2 * each.mean(axis=-1)
    np.testing.assert_allclose(loss(of, *given), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_numbers_learn_by_the_error_over_the_variance(shape: tuple[int, ...]) -> None:
    """So a mean, however large its unit, is an answer of loss 1."""
    teacher, student = (1000 * it for it in LOGITS[shape])
    spread = variance(teacher)
    assert spread == pytest.approx(np.mean(teacher.var(axis=0)))
    of = distilled("numbers", variance=spread)
    wanted = np.mean((teacher - student) ** 2, axis=-1) / spread
    np.testing.assert_allclose(loss(of, teacher, student), wanted, rtol=1e-4)
    mean = np.broadcast_to(teacher.mean(axis=0), teacher.shape)
    assert loss(of, teacher, mean).mean() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("kind", ["numbers", "sigmoid"])
def test_an_output_of_one_number_for_each_row_is_compared_row_by_row(kind: AnswerKind) -> None:
    """The teacher's has an axis more, since all targets have one."""
    of = distilled(kind, logits=True, units=1)
    teacher, student = RANDOM.normal(size=(2, ROWS))
    found = loss(of, teacher[:, None], student)
    assert found.shape == (ROWS,)
    np.testing.assert_array_equal(found, loss(of, teacher[:, None], student[:, None]))
    np.testing.assert_allclose(loss(of, teacher[:, None], teacher), 0, atol=1e-6)


def test_outputs_that_are_always_the_same_can_be_learnt() -> None:
    """Their variance counts as a little more than 0."""
    constant = np.full((ROWS, CLASSES), 5.0)
    of = distilled("numbers", variance=variance(constant))
    assert np.isfinite(loss(of, constant, constant + 1)).all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(
    ("kind", "logits"),
    [("softmax", True), ("softmax", False), ("sigmoid", True), ("sigmoid", False)],
)
def test_the_teacher_itself_has_no_loss_and_no_gradient(
    kind: AnswerKind, logits: bool, temperature: float
) -> None:
    """Also where it is certain; a student that is certain of another class has a finite one."""
    z = np.array([[0.0, 1, 2, 3, 4, 5], [-200, 200, 0, 0, 0, 0]])
    values = z if logits else softmax(z) if kind == "softmax" else sigmoid(z)
    of = distilled(kind, logits=logits, temperature=temperature)
    teacher = tf.constant(values, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(teacher)
        found = of.loss().call(tf.stop_gradient(teacher), teacher)
    np.testing.assert_allclose(found, 0, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(found, teacher), 0, atol=1e-4)
    other = loss(of, values, values[:, ::-1])
    assert np.isfinite(other).all()
    assert (other > 0).all()


def test_higher_temperatures_let_small_probabilities_count() -> None:
    """Of a student that is right about the first class and wrong about the rest."""
    teacher = np.array([[8.0, 3, 0, 0, 0, 0]])
    student = np.array([[8.0, 0, 0, 0, 0, 3]])
    cold, warm = (
        float(loss(distilled("softmax", logits=True, temperature=it), teacher, student)[0])
        for it in (1, 4)
    )
    assert warm > 10 * cold


@pytest.mark.parametrize(
    ("supervised", "labels"),
    [
        (Objective("sparse_categorical_crossentropy", True, (), ""), "indices"),
        (Objective("categorical_crossentropy", True, (), ""), "one-hot"),
    ],
)
def test_labels_are_mixed_in_by_their_weight(supervised: Objective, labels: str) -> None:
    """(1 - w) of the divergence and w of the supervised loss, which Keras computes."""
    teacher, student = LOGITS[CLASSES,]
    classes = RANDOM.integers(0, CLASSES, ROWS)
    truth = classes[:, None] if labels == "indices" else np.eye(CLASSES)[classes]
    (targets,) = with_labels([teacher.astype("float32")], [truth])
    assert targets.shape == (ROWS, CLASSES + truth.shape[1])
    alone = loss(distilled("softmax", logits=True), teacher, student)
    crossentropy = -np.log(softmax(student))[np.arange(ROWS), classes]
    for weight in (0.0, 0.3, 1.0):
        of = distilled("softmax", logits=True, label_weight=weight, supervised=supervised)
        wanted = (1 - weight) * alone + weight * crossentropy
        np.testing.assert_allclose(loss(of, targets, student), wanted, rtol=1e-4, atol=1e-5)


def test_without_labels_the_targets_are_the_teachers_outputs() -> None:
    """Each output's, in order."""
    outputs = [np.zeros((4, 2), "float32"), np.ones((4, 3, 1), "float32")]
    found = with_labels(outputs, ())
    assert all(a is b for a, b in zip(found, outputs, strict=True))


def test_batches_of_the_teacher_have_the_targets_that_were_computed_before() -> None:
    """For each step of each epoch, with the labels behind them and the rows' weights."""
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [tf_keras.layers.InputLayer((4,)), tf_keras.layers.Dense(CLASSES, activation="softmax")]
    )
    x = RANDOM.integers(0, 255, (ROWS, 4), dtype=np.uint8)
    truth = RANDOM.integers(0, CLASSES, (ROWS, 1))
    weights = (RANDOM.random((ROWS, 1)).astype("float32"),)
    scale = 1 / 255
    outputs = model(x * np.float32(scale)).numpy()
    for labels in ((), (truth,)):
        split = Split((x,), labels, scale, ("float32",), weights)
        ready = Split((x,), with_labels([outputs], labels), scale, ("float32",), weights)
        taught = TaughtBatches(shuffled_batches(split, 16, 7), lambda inputs: [model(inputs)])
        before = shuffled_batches(ready, 16, 7)
        for epoch in (0, 1):
            order = taught.order(epoch)
            np.testing.assert_array_equal(order, before.order(epoch))
            for step in tf.range(3):
                (inputs, targets), (others, wanted) = (
                    it.take(order, step) for it in (taught, before)
                )
                np.testing.assert_array_equal(inputs, others)
                np.testing.assert_allclose(targets[0], wanted[0], rtol=1e-6)
                np.testing.assert_array_equal(
                    taught.weights(order, step)[0], before.weights(order, step)[0]
                )


def test_a_student_learns_the_teachers_outputs() -> None:
    """By Keras's own ``fit``: the loss falls, and the classes are the teacher's."""
    teacher, _ = LOGITS[CLASSES,]
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential([tf_keras.layers.Embedding(ROWS, CLASSES)])
    of = distilled("softmax", logits=True, temperature=2.0)
    model.compile(tf_keras.optimizers.Adam(0.2), of.loss(), metrics=of.metrics())
    rows = np.arange(ROWS)
    history = model.fit(rows, teacher.astype("float32"), epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.01 * history[0]
    assert np.mean(model(rows).numpy().argmax(1) == teacher.argmax(1)) > 0.95
