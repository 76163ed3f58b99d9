"""A gate on a metric of a model with several outputs."""

from __future__ import annotations

from typing import Literal

import pytest

from job.metrics.gates import judge, losses_of_quality
from job.result.artifact import TensorResult
from job.result.result import ArtifactResult
from tests.metrics.test_gates import GATE, artifact


def of_two(stage: Literal["baseline", "prune"], **metrics: float) -> ArtifactResult:
    """An artifact of the outputs digit and angle."""
    outputs = [TensorResult(name=name, dtype="float32", shape=[]) for name in ("digit", "angle")]
    return artifact(stage, 100, {}, None, **metrics).model_copy(update={"outputs": outputs})


BEFORE = {
    "loss": 1.0,
    "digit_loss": 0.5,
    "angle_loss": 2.0,
    "digit_accuracy": 0.9,
    "digit_sparse_top_k_categorical_accuracy": 1.0,
    "digit_mean_absolute_error": 0.1,
    "angle_mean_absolute_error": 3.0,
}
AFTER = BEFORE | {"loss": 1.5, "angle_loss": 4.0, "digit_accuracy": 0.8}
AFTER |= {"angle_mean_absolute_error": 5.0, "digit_mean_absolute_error": 0.05}


@pytest.mark.parametrize(
    ("metric", "output", "values"),
    [
        ("loss", None, {None: 0.5}),
        ("loss", "digit", {"digit": 0.0}),
        ("loss", "angle", {"angle": 2.0}),
        ("accuracy", None, {"digit": 0.1}),
        ("accuracy", "digit", {"digit": 0.1}),
        ("mean_absolute_error", None, {"digit": -0.05, "angle": 2.0}),
        ("mean_absolute_error", "angle", {"angle": 2.0}),
    ],
)
def test_a_gate_is_for_one_output_the_total_or_each_output(
    metric: str, output: str | None, values: dict[str | None, float]
) -> None:
    """Each result names its output; a higher loss or error is worse, prefixed or not."""
    gate = GATE.validate_python(
        {"type": "max_drop", "metric": metric, "output": output, "value": 0.05, "artifact": "*"}
    )
    found = judge([gate], [of_two("baseline", **BEFORE), of_two("prune", **AFTER)])
    assert {it.gate["output"]: it.value for it in found} == pytest.approx(values)
    for it in found:
        assert it.value is not None
        assert it.passed is (it.value <= 0.05)
        name = it.gate["output"]
        assert it.explanation.startswith(f"prune: {name}_{metric}" if name else "prune: loss")


def test_min_value_of_an_error_is_an_upper_limit() -> None:
    """For an accuracy it is a lower limit."""
    for metric, value, passed in (
        ("mean_absolute_error", 5.0, True),
        ("mean_absolute_error", 4.9, False),
        ("loss", 4.0, True),
        ("loss", 3.9, False),
    ):
        gate = {"type": "min_value", "metric": metric, "output": "angle", "value": value}
        (found,) = judge(
            [GATE.validate_python(gate)],
            [of_two("baseline", **BEFORE), of_two("prune", **AFTER)],
        )
        assert found.passed is passed
    gate = {"type": "min_value", "metric": "accuracy", "output": "digit", "value": 0.81}
    artifacts = [of_two("baseline", **BEFORE), of_two("prune", **AFTER)]
    assert not judge([GATE.validate_python(gate)], artifacts)[0].passed


def test_large_losses_of_quality_are_reported_for_each_output() -> None:
    """Under the metric's full name; losses do not count."""
    reported = losses_of_quality(of_two("baseline", **BEFORE), of_two("prune", **AFTER))
    assert reported == [
        "digit_accuracy went from 0.9 to 0.8 in prune.",
        "angle_mean_absolute_error went from 3 to 5 in prune.",
    ]
