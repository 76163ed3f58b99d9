"""infer: targets of every kind are named for what they are, or the choice is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from job.errors import InputError
from job.manifest.training import LossConfig, TrainingConfig
from job.objective.choose import Known, choose
from job.objective.losses import Objective
from tests.objective.test_choose import (
    BINARY,
    FRACTIONS,
    INDICES,
    MANY_HOT,
    ONE_HOT,
    ONE_OF,
    SPARSE,
    SQUARES,
    YES_NO,
    dense,
    specs,
)

SIGNS = YES_NO * 2 - 1
SMOOTHED = ONE_HOT * 0.9 + 0.02
SOFT = np.random.default_rng(1).dirichlet(np.ones(5), 40)


def chosen(
    activation: str | None,
    units: int,
    targets: Any,
    compiled: LossConfig | str | None = None,
    metrics: Sequence[str] | None = None,
) -> Objective:
    model = dense(units, activation)
    known = Known((), {} if compiled is None else {"out": compiled}, {"out": 0.5})
    config = TrainingConfig.model_validate({"metrics": metrics})
    return choose(config, [], model, specs(model, "out"), [targets], known)["out"]


@pytest.mark.parametrize(
    ("activation", "units", "targets", "loss", "metric"),
    [
        ("tanh", 1, SIGNS, "hinge", "accuracy"),
        (None, 1, SIGNS.astype("float32")[:, None], "hinge", "accuracy"),
        ("softmax", 5, SMOOTHED, ONE_OF, "accuracy"),
        ("softmax", 5, SOFT, ONE_OF, "accuracy"),
        ("sigmoid", 5, SMOOTHED, BINARY, "accuracy"),
        ("sigmoid", 1, YES_NO * 0.9 + 0.05, BINARY, "accuracy"),
        ("relu", 1, INDICES, SQUARES, "mean_absolute_error"),
        ("tanh", 1, np.tanh(FRACTIONS[:, 0]), SQUARES, "mean_absolute_error"),
    ],
)
def test_the_kind_of_targets_is_recognized(
    activation: str | None, units: int, targets: Any, loss: str, metric: str
) -> None:
    """Signs, smoothed labels and soft classes are not a regression."""
    found = chosen(activation, units, targets)
    assert (found.loss_name, found.metric_names) == (loss, (metric,))


@pytest.mark.parametrize(
    ("activation", "units", "targets", "says"),
    [
        ("sigmoid", 1, SIGNS, "The targets are -1 and 1, and the model ends in sigmoid"),
        ("relu", 1, SIGNS, "which is never -1"),
        (None, 5, SMOOTHED, "logits of soft classes, or the numbers"),
        (None, 1, SIGNS * (INDICES > 1), "they may be classes or numbers"),
        ("sigmoid", 1, SIGNS * (INDICES > 1), "from -1 to 1, which the model can't answer"),
        ("sigmoid", 1, YES_NO * 255, "The targets are 0 and 255, which the model can't answer"),
        (None, 1, YES_NO + 1, "The targets are 1 and 2: they may be classes or numbers"),
        ("sigmoid", 1, INDICES, "whole numbers from 0 to 4, which the model can't answer"),
        ("softmax", 5, MANY_HOT, "The targets' rows have from"),
        ("softmax", 5, MANY_HOT * 3, "which the model can't answer"),
        ("softmax", 5, np.abs(FRACTIONS) / 9, "The targets' rows sum to"),
        (None, 5, ONE_HOT * YES_NO[:, None], "have one 1, or none"),
        ("softmax", 1, YES_NO, "A softmax over one value is always 1"),
        ("tanh", 1, FRACTIONS[:, 0] * 9, "the model ends in tanh, from -1 to 1"),
    ],
)
def test_the_user_is_asked_to_choose(
    activation: str | None, units: int, targets: Any, says: str
) -> None:
    """The error describes targets and model, names the place, and has a hint."""
    with pytest.raises(InputError, match=says) as caught:
        chosen(activation, units, targets)
    assert caught.value.where == "dataset.train.targets"
    assert caught.value.hint


def test_the_loss_of_the_file_is_used_where_it_fits() -> None:
    """With its settings and its weight; where it does not fit, the reason is given."""
    smooth = LossConfig(type=ONE_OF, from_logits=False, label_smoothing=0.1)
    found = chosen("softmax", 5, ONE_HOT, smooth)
    assert (found.loss_name, found.options, found.weight) == (ONE_OF, {"label_smoothing": 0.1}, 0.5)
    assert found.reason.startswith("the file was compiled with it, and the targets fit: 0 and 1")
    squares = chosen("softmax", 5, ONE_HOT, LossConfig(type=SQUARES))
    assert squares.metric_names == ("mean_absolute_error", "accuracy")
    assert squares.labels == "one_hot"
    other = chosen("softmax", 5, INDICES, smooth)
    assert (other.loss_name, other.options, other.weight) == (SPARSE, {}, 1.0)
    assert "categorical_crossentropy, which does not fit" in other.reason
    own = chosen("softmax", 5, INDICES, "the file was compiled with a loss of its own")
    assert "with a loss of its own" in own.reason
    tanh = chosen("tanh", 1, SIGNS, LossConfig(type=SQUARES))
    assert (tanh.loss_name, tanh.metric_names) == (SQUARES, ("mean_absolute_error",))


@pytest.mark.parametrize("metric", ["auc", "precision", "recall"])
def test_soft_targets_are_neither_true_nor_false(metric: str) -> None:
    """Keras would treat each 0.05 as true."""
    with pytest.raises(InputError, match=f"{metric} treats each target as true or false"):
        chosen("softmax", 5, SMOOTHED, metrics=[metric])


def test_accuracy_of_signs_and_smoothed_labels_matches_numpy() -> None:
    """Keras's accuracy would be 0 for both."""
    outputs = FRACTIONS[:, :1].astype("float32")
    for activation, labels, border, at in (
        ("tanh", SIGNS[:, None], 0, 0),
        ("sigmoid", YES_NO[:, None] * 0.9 + 0.05, 0.5, 0.5),
        ("sigmoid", YES_NO[:, None], 0.5, 0.5),
    ):
        (metric,) = chosen(activation, 1, labels).metrics()
        metric.update_state(labels, outputs)
        wanted = np.mean((labels > border) == (outputs > at))
        assert float(metric.result()) == pytest.approx(wanted)
