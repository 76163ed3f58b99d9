"""A float32 file that drifts is refused; whatever else loses its outputs is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from job.artifact import TensorResult
from job.errors import StageError
from job.metrics.collapse import refuse_drift, warnings
from job.metrics.quality import drift
from job.result import ArtifactResult

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


@pytest.mark.parametrize(
    "after",
    [
        BEFORE * (1 + 1e-6),
        BEFORE + RANDOM.normal(size=BEFORE.shape).astype("float32") * 1e-5,
        moved(1, 3.0),
    ],
)
def test_what_rounding_does_to_a_float32_file_is_passed(after: np.ndarray) -> None:
    """Sums in another order, and one row on a tie."""
    refuse_drift("float32", artifact(after))


@pytest.mark.parametrize("after", [BEFORE + 0.4, moved(8, 0.5), BEFORE * 0.9, BEFORE[::-1]])
def test_a_float32_file_that_answers_otherwise_is_refused(after: np.ndarray) -> None:
    """With the output, and the figures."""
    with pytest.raises(StageError) as caught:
        refuse_drift("float32", artifact(after))
    message = str(caught.value)
    mean = np.abs(after - BEFORE).astype("float64").mean()
    assert "label" in message
    assert f"{mean:.3g}" in message
    assert "defect" in (caught.value.hint or "")


def test_outputs_that_are_constant_or_noise_are_warned_of() -> None:
    """Eight bits of them are fine."""
    base = artifact(None, "baseline")
    step = np.ptp(BEFORE) / 255
    assert not list(warnings(artifact(np.round(BEFORE / step) * step), base))
    (constant,) = warnings(artifact(np.full_like(BEFORE, 0.2)), base)
    assert "same for every row" in constant
    (noise,) = warnings(artifact(RANDOM.normal(size=BEFORE.shape)), base)
    assert "off by more" in noise


def test_pruning_may_stretch_outputs_and_not_replace_them() -> None:
    """Training on makes logits larger; a model that has learnt more may answer otherwise."""
    base = artifact(None, "baseline", metrics={"loss": 1.0})
    assert not list(warnings(artifact(BEFORE * 3, "prune", metrics={"loss": 1.1}), base))
    other = RANDOM.normal(size=BEFORE.shape)
    (noise,) = warnings(artifact(other, "prune", metrics={"loss": 1.1}), base)
    assert "nothing in common" in noise
    assert not list(warnings(artifact(other, "prune", metrics={"loss": 0.9}), base))


def test_an_accuracy_that_falls_to_chance_is_warned_of() -> None:
    """One of five classes is right by chance; what was there before can't be lost."""
    base = artifact(None, "baseline", metrics={"accuracy": 0.95})
    (found,) = warnings(artifact(BEFORE, metrics={"accuracy": 0.22}), base)
    assert "accuracy is 0.22" in found
    assert not list(warnings(artifact(BEFORE, metrics={"accuracy": 0.7}), base))
    poor = artifact(None, "baseline", metrics={"accuracy": 0.25})
    assert not list(warnings(artifact(BEFORE, metrics={"accuracy": 0.2}), poor))
