"""The metrics of the constant answer are those that NumPy computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from job.metrics.artifact import Evaluator
from job.metrics.constant import constant_metrics
from job.metrics.quality import Samples
from job.objective.answers import Answer
from job.objective.losses import Objective
from job.result.specs import TensorSpec

ANSWER = Answer("numbers", False, "")


def objective(loss: str, *metrics: str, logits: bool | None = None) -> Objective:
    return Objective(loss, logits, metrics, "because")


def constants(made: Objective, train: Any, test: Any, shape: tuple[int, ...]) -> dict[str, float]:
    test = np.asarray(test)

    def read(start: int, stop: int) -> Any:
        return (np.zeros((len(test[start:stop]), 1)),), (test[start:stop],)

    evaluator = Evaluator(Samples(read, len(test)), {"out": made}, {"out": ANSWER}, ["in"], 1)
    spec = TensorSpec("out", shape, "float32")
    return constant_metrics([np.asarray(train)], [spec], evaluator)["out"]


def test_the_constant_answer_to_soft_rows_is_their_mean() -> None:
    """It is not the frequencies of the most likely classes."""
    made = objective("kl_divergence", "accuracy")
    rows = np.array([[0.6, 0.4], [0.8, 0.2]])
    found = constants(made, rows, rows, (2,))
    assert found["loss"] == pytest.approx(np.mean(np.sum(rows * np.log(rows / [0.7, 0.3]), -1)))


def test_the_best_constant_answer_is_measured() -> None:
    """For classes the most common one and the entropy; for numbers the mean or the median."""
    train, test = [0, 1, 1, 1, 2], np.array([1, 1, 0, 2])
    for logits in (True, False):
        made = objective("sparse_categorical_crossentropy", "accuracy", logits=logits)
        found = constants(made, train, test, (3,))
        assert found["accuracy"] == 0.5
        entropy = -np.mean(np.log(np.array([0.2, 0.6, 0.2])[test]))
        assert found["loss"] == pytest.approx(entropy, rel=1e-4)
    binary = objective("binary_crossentropy", "accuracy", "auc", logits=False)
    found = constants(binary, [[1], [1], [0]], [[1], [0], [0]], (1,))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["auc"] == pytest.approx(0.5)
    numbers = objective("mean_squared_error", "mean_absolute_error")
    known, asked = np.array([[0.0], [1], [10]]), np.array([[0.0], [1], [2]])
    found = constants(numbers, known, asked, (1,))
    both = [np.mean(known), np.median(known)]
    assert found["loss"] == pytest.approx(min(np.mean((asked - it) ** 2) for it in both))
    assert found["mean_absolute_error"] == pytest.approx(
        min(np.mean(abs(asked - it)) for it in both)
    )


def test_the_constant_answer_to_a_hinge_is_the_more_common_class() -> None:
    """Whether the classes are written as -1 and 1 or as 0 and 1."""
    made = objective("hinge", "accuracy")
    found = constants(made, [[-1], [-1], [1]], [[-1], [1], [-1]], (1,))
    assert found["accuracy"] == pytest.approx(2 / 3)
    for none in (-1, 0):
        found = constants(made, [[1], [none], [none]], [[1], [none], [none], [none]], (1,))
        assert (found["accuracy"], found["loss"]) == (0.75, 0.5)


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("ones", [60, 59, 61])
def test_of_classes_that_are_as_common_the_best_one_counts(ones: int, logits: bool) -> None:
    """For indices, one-hot rows, and 0 and 1: which of them leads is chance."""
    train, test = np.arange(120) < ones, np.arange(40) < 25
    for loss, codes in (
        ("sparse_categorical_crossentropy", np.array([0, 1])),
        ("categorical_crossentropy", np.eye(2)),
        ("binary_crossentropy", np.array([[0], [1]])),
    ):
        made = objective(loss, "accuracy", logits=logits)
        shape = (1,) if loss == "binary_crossentropy" else (2,)
        for other in (test, ~test):
            found = constants(made, codes[train.astype(int)], codes[other.astype(int)], shape)
            assert found["accuracy"] == pytest.approx(0.625), loss
            assert found["loss"] == pytest.approx(np.log(2), abs=0.01)
    signs = objective("hinge", "accuracy")
    for other in (test, ~test):
        found = constants(signs, train[:, None] * 2 - 1, other[:, None] * 2 - 1, (1,))
        assert found["accuracy"] == pytest.approx(0.625)


def test_a_class_that_is_clearly_the_most_common_counts() -> None:
    """Also where another one is more common among the test rows."""
    made = objective("sparse_categorical_crossentropy", "accuracy", logits=True)
    found = constants(made, [0] * 70 + [1] * 50, [0] * 15 + [1] * 25, (2,))
    assert found["accuracy"] == pytest.approx(0.375)
