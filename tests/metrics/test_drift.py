"""Drift is measured; a float32 file that drifts is refused; a collapse gives a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from job.errors import StageError
from job.metrics.drift import drift, refuse_drift, warnings
from job.result.artifact import TensorResult
from job.result.result import ArtifactResult

RANDOM = np.random.default_rng(3)
BEFORE = RANDOM.normal(size=(400, 5)).astype("float32")


def artifact(after: np.ndarray | None, stage: Any = "quantize", **more: Any) -> ArtifactResult:
    found = None if after is None else drift("baseline", {"label": BEFORE}, (after,))
    return ArtifactResult(
        stage=stage,
        variant="float32" if stage == "quantize" else None,
        format="tflite" if stage == "quantize" else "keras",
        path="float32.tflite" if stage == "quantize" else f"{stage}.keras",
        bytes=1,
        sha256="0" * 64,
        inputs=[],
        outputs=[TensorResult(name="label", dtype="float32", shape=[None, 5])],
        sparsity=0.0,
        drift=found,
        **{"metrics": {}} | more,
    )


def moved(rows: int, by: float) -> np.ndarray:
    after = BEFORE.copy()
    after[:rows] += by
    return after


CHANGES: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda x: x,
    lambda x: x + 0.25,
    lambda x: np.where(np.arange(x.size).reshape(x.shape) == 5, x - 3, x),
]


@pytest.mark.parametrize("change", CHANGES)
def test_drift_is_the_absolute_difference(change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Its largest value and its mean, in the outputs' unit."""
    before = BEFORE[:100]
    after = change(BEFORE[:100]).astype("float32")
    found = drift("prune", {"out": before}, (after,))
    difference = np.abs(before.astype("float64") - after.astype("float64"))
    assert (found.against, found.rows) == ("prune", 100)
    assert found.max_abs == pytest.approx(difference.max())
    assert found.mean_abs == pytest.approx(difference.mean())
    assert found.outputs == {}


def test_the_drift_of_several_outputs_is_reported_for_each() -> None:
    """The largest of all, the mean of the means, and each output's."""
    before = {"zeta": BEFORE[:50], "alpha": np.zeros((50, 1), "float32")}
    found = drift("baseline", before, (before["zeta"] + 1, before["alpha"] - 4))
    assert (found.rows, found.max_abs) == (50, 4)
    assert found.mean_abs == pytest.approx(2.5, rel=1e-5)
    assert {name: it.max_abs for name, it in found.outputs.items()} == pytest.approx(
        {"zeta": 1, "alpha": 4}, rel=1e-5
    )
    assert found.outputs["alpha"].mean_abs == 4


@pytest.mark.parametrize(
    "after",
    [
        BEFORE * (1 + 1e-6),
        BEFORE + RANDOM.normal(size=BEFORE.shape).astype("float32") * 1e-5,
        moved(1, 3.0),
    ],
)
def test_rounding_of_a_float32_file_is_accepted(after: np.ndarray) -> None:
    """Sums in another order, and one row on a tie."""
    refuse_drift("float32", artifact(after))


@pytest.mark.parametrize("after", [BEFORE + 0.4, moved(8, 0.5), BEFORE * 0.9, BEFORE[::-1]])
def test_a_float32_file_with_other_outputs_is_refused(after: np.ndarray) -> None:
    """The message has the output and the figures."""
    with pytest.raises(StageError) as caught:
        refuse_drift("float32", artifact(after))
    message = str(caught.value)
    mean = np.abs(after - BEFORE).astype("float64").mean()
    assert "label" in message
    assert f"{mean:.3g}" in message
    assert "defect" in (caught.value.hint or "")


def test_constant_or_noisy_outputs_give_a_warning() -> None:
    """Outputs of eight bits give none."""
    base = artifact(None, "baseline")
    step = np.ptp(BEFORE) / 255
    assert not list(warnings(artifact(np.round(BEFORE / step) * step), base))
    (constant,) = warnings(artifact(np.full_like(BEFORE, 0.2)), base)
    assert "same for every row" in constant
    (noise,) = warnings(artifact(RANDOM.normal(size=BEFORE.shape)), base)
    assert "off by more" in noise


def test_pruning_may_scale_outputs_but_not_replace_them() -> None:
    """More training makes logits larger; a model that has improved may have other outputs."""
    base = artifact(None, "baseline", metrics={"loss": 1.0})
    assert not list(warnings(artifact(BEFORE * 3, "prune", metrics={"loss": 1.1}), base))
    other = RANDOM.normal(size=BEFORE.shape)
    (noise,) = warnings(artifact(other, "prune", metrics={"loss": 1.1}), base)
    assert "nearly unrelated" in noise
    assert not list(warnings(artifact(other, "prune", metrics={"loss": 0.9}), base))


def test_an_accuracy_that_falls_to_chance_gives_a_warning() -> None:
    """Chance is one of five classes; a model that was at chance can't collapse."""
    base = artifact(None, "baseline", metrics={"accuracy": 0.95})
    (found,) = warnings(artifact(BEFORE, metrics={"accuracy": 0.22}), base)
    assert "accuracy is 0.22" in found
    assert not list(warnings(artifact(BEFORE, metrics={"accuracy": 0.7}), base))
    two = [
        TensorResult(name=name, dtype="float32", shape=[None, units])
        for name, units in (("class", 2), ("subclass", 100))
    ]
    of_two = artifact(None, "baseline", metrics={"subclass_accuracy": 0.95})
    of_two = of_two.model_copy(update={"outputs": two})
    assert not list(warnings(artifact(BEFORE, metrics={"subclass_accuracy": 0.5}), of_two))
    (found,) = warnings(artifact(BEFORE, metrics={"subclass_accuracy": 0.012}), of_two)
    assert "subclass_accuracy is 0.012" in found
    poor = artifact(None, "baseline", metrics={"accuracy": 0.25})
    assert not list(warnings(artifact(BEFORE, metrics={"accuracy": 0.2}), poor))
