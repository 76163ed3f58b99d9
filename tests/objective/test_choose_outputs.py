"""Each of several outputs has its own loss and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tf_keras

from job.errors import InputError
from job.manifest.gates import GateConfig, MinValueGate
from job.manifest.training import TrainingConfig
from job.objective.choose import choose
from job.objective.endings import ending
from job.objective.losses import Objectives
from tests.objective.test_choose import FRACTIONS, INDICES, SPARSE, SQUARES, specs

layers = tf_keras.layers


def two_outputs() -> tf_keras.Model:
    """Five classes, as probabilities, and one number."""
    given = tf_keras.Input((4,))
    digit = layers.Dense(5, activation="softmax", name="digit")(given)
    return tf_keras.Model(given, [digit, layers.Dense(1, name="angle")(given)])


def choose_two(gates: Sequence[GateConfig] = (), **training: Any) -> Objectives:
    model = two_outputs()
    config = TrainingConfig.model_validate(training)
    outputs = specs(model, "digit", "angle")
    return choose(config, gates, model, outputs, [INDICES, FRACTIONS[:, 0]])


def gate(**fields: Any) -> MinValueGate:
    return MinValueGate.model_validate({"type": "min_value", "value": 0} | fields)


def refused(*gates: GateConfig, **training: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        choose_two(gates, **training)
    return caught.value


def test_each_output_is_inferred_from_its_ending_and_targets() -> None:
    """One has classes, the other numbers; they are in the model's order."""
    found = choose_two()
    assert list(found) == ["digit", "angle"]
    assert [it.loss_name for it in found.values()] == [SPARSE, SQUARES]
    assert [it.from_logits for it in found.values()] == [False, None]
    assert [it.metric_names for it in found.values()] == [("accuracy",), ("mean_absolute_error",)]
    assert [it.weight for it in found.values()] == [1, 1]
    assert "softmax" in found["digit"].reason


def test_the_outputs_of_a_nested_model_are_distinguished() -> None:
    """Each output of the outer model has the ending of that output of the inner one."""
    given = tf_keras.Input((4,))
    outer = tf_keras.Model(given, two_outputs()(given))
    assert [ending(it).kind for it in outer.outputs] == ["distribution", "unbounded"]


def test_what_the_manifest_does_not_map_is_inferred() -> None:
    """Losses, metrics and weights are used for the outputs that they are given for."""
    found = choose_two(
        loss={"angle": "huber", "digit": {"type": SPARSE, "from_logits": False}},
        metrics={"angle": ["root_mean_squared_error"]},
        loss_weights={"angle": 0.25},
    )
    assert (found["digit"].loss_name, found["digit"].from_logits) == (SPARSE, False)
    assert found["digit"].metric_names == ("accuracy",)
    assert (found["angle"].loss_name, found["angle"].weight) == ("huber", 0.25)
    assert found["angle"].metric_names == ("root_mean_squared_error",)
    partly = choose_two(loss={"angle": "mean_absolute_error"})
    assert partly["digit"].loss_name == SPARSE
    assert choose_two(loss="poisson")["digit"].loss_name == "poisson"


def test_a_metric_that_does_not_fit_one_output_is_refused() -> None:
    """A list is for every output; the error names the one that it does not fit."""
    error = refused(metrics=["accuracy"])
    assert "accuracy has no meaning for the loss mean_squared_error" in error.what
    assert error.where == "training.metrics (angle)"
    error = refused(gate(metric="accuracy", output="angle"))
    assert error.where == "gates (angle)"


@pytest.mark.parametrize(
    "training",
    [
        {"loss": {"digt": "huber"}},
        {"metrics": {"digt": ["accuracy"]}},
        {"loss_weights": {"digt": 2.0}},
    ],
)
def test_a_missing_output_is_refused(training: dict[str, Any]) -> None:
    """The message has the given name and those of the model."""
    error = refused(**training)
    assert error.what == "The model has no output digt; its outputs: digit, angle."
    assert error.where == f"training.{next(iter(training))}"
    error = refused(gate(metric="loss"), gate(metric="loss", output="digt"))
    assert error.what == "The model has no output digt; its outputs: digit, angle."
    assert error.where == "gates.1.output"


def test_a_gate_adds_its_metric_to_the_output_that_it_names() -> None:
    """Without an output it adds none, and one of the outputs must have the metric."""
    metric = "sparse_top_k_categorical_accuracy"
    found = choose_two([gate(metric=metric, output="digit"), gate(metric="loss", output="angle")])
    assert found["digit"].metric_names == ("accuracy", metric)
    assert found["angle"].metric_names == ("mean_absolute_error",)
    assert choose_two([gate(metric="accuracy"), gate(metric="loss")]) == choose_two()
    error = refused(gate(metric="loss"), gate(metric=metric))
    assert error.what == f"The metric {metric} is measured for none of the outputs digit, angle."
    assert error.where == "gates.1.metric"
