"""Whether a file is within a loss, by its figures or by the worse end of their intervals."""

from __future__ import annotations

from typing import Any

import pytest

from job.manifest.gates import MaxDropGate, MinAgreementGate, MinSnrGate, MinValueGate
from job.metrics.artifact import Evaluator, Measured
from job.result.artifact import TensorResult
from job.result.figures import DropResult, FidelityResult, IntervalResult
from job.result.result import ArtifactResult
from job.worker.judgement import Gate, Judgement
from job.worker.verdict import MOST_DECIBELS, MOST_DROP, judge


def bounds(low: float, high: float, confidence: float = 0.9) -> IntervalResult:
    return IntervalResult(low=low, high=high, confidence=confidence, method="bootstrap")


def made(metrics: dict[str, float], outputs: tuple[str, ...] = ("a",), **fields: Any) -> Any:
    """A file's record."""
    return ArtifactResult(
        stage="quantize",
        format="tflite",
        path="x.tflite",
        bytes=1,
        sha256="",
        sparsity=0,
        outputs=[TensorResult(name=it, dtype="float32", shape=[None, 1]) for it in outputs],
        metrics=metrics,
        **fields,
    )


def judged_by(
    gate: Gate, baseline: ArtifactResult, references: dict[str, float] | None = None
) -> Judgement:
    evaluator: Evaluator = None  # type: ignore[assignment] # judge does not measure
    measured = Measured(baseline, {})
    return Judgement(gate, "file", evaluator, measured, references or {}, "")


def approx(value: float) -> Any:
    """As ``pytest.approx``, of any type: in a tuple it is compared with numbers and None."""
    return pytest.approx(value)


def drop(metric: str = "accuracy", value: float = 0.02, confidence: float | None = None) -> Gate:
    return MaxDropGate.model_validate(
        {"type": "max_drop", "metric": metric, "value": value, "confidence": confidence}
    )


def test_a_drop_is_that_on_the_same_rows() -> None:
    """A metric that rises and one that falls; no worse is a margin of the limit and more."""
    base = made({"loss": 0.5, "accuracy": 0.9})
    found = judge(made({"loss": 0.6, "accuracy": 0.89}), judged_by(drop(), base))
    assert found.bound is None
    assert found.value == pytest.approx(0.01)
    assert found.margin == pytest.approx(0.01)
    falls = judge(made({"loss": 0.6, "accuracy": 0.89}), judged_by(drop("loss", 0.05), base))
    assert (falls.value, falls.margin) == pytest.approx((0.1, -0.05))
    better = judge(made({"loss": 0.4, "accuracy": 0.95}), judged_by(drop(), base))
    assert better.margin == approx(0.07)


def test_with_a_confidence_the_worse_end_of_the_paired_interval_counts() -> None:
    """Of that level alone; where there is none, the rows do not tell, and nothing passes."""
    base = made({"accuracy": 0.9})
    drops = {"accuracy": DropResult(value=0.01, intervals=[bounds(0.0, 0.5, 0.95),
                                                           bounds(0.0, 0.03)])}  # fmt: skip
    artifact = made({"accuracy": 0.89}, drops=drops)
    found = judge(artifact, judged_by(drop(confidence=0.9), base))
    assert (found.bound, found.margin) == pytest.approx((0.03, -0.01))
    assert judge(artifact, judged_by(drop(confidence=0.8), base)).margin == -MOST_DROP


def test_a_baseline_that_has_seen_the_rows_is_not_what_files_are_compared_with() -> None:
    """The metric on the test rows is; its confidence is that of the file's own interval."""
    base = made({"accuracy": 0.99, "loss": 0.01})
    intervals = {"accuracy": [bounds(0.85, 0.93)], "loss": [bounds(0.2, 0.5)]}
    artifact = made({"accuracy": 0.89, "loss": 0.3}, intervals=intervals)
    unseen = {"accuracy": 0.9, "loss": 0.25}
    assert judge(artifact, judged_by(drop(), base, unseen)).value == approx(0.01)
    sure = judge(artifact, judged_by(drop(confidence=0.9), base, unseen))
    assert (sure.bound, sure.margin) == pytest.approx((0.05, -0.03))
    falls = judge(artifact, judged_by(drop("loss", 0.1, 0.9), base, unseen))
    assert (falls.value, falls.bound) == pytest.approx((0.05, 0.25))


def test_a_value_of_its_own_is_compared_with_nothing() -> None:
    """Neither with the baseline nor with what it gets on the test rows; by the worse end of the
    file's own interval, where a confidence is asked for.
    """
    base = made({"accuracy": 0.99, "loss": 0.01})
    intervals = {"accuracy": [bounds(0.85, 0.93)], "loss": [bounds(0.2, 0.5)]}
    artifact = made({"accuracy": 0.89, "loss": 0.3}, intervals=intervals)
    for metric, limit, wanted in (
        ("accuracy", 0.88, [(0.89, None, 0.01), (0.89, 0.85, -0.03)]),
        ("loss", 0.4, [(0.3, None, 0.1), (0.3, 0.5, -0.1)]),
    ):
        gate = MinValueGate.model_validate({"type": "min_value", "metric": metric, "value": limit})
        sure = gate.model_copy(update={"confidence": 0.9})
        for one, (value, bound, margin) in zip((gate, sure), wanted, strict=True):
            found = judge(artifact, judged_by(one, base, {metric: 0.5}))
            assert (found.value, found.bound) == (value, bound)
            assert found.margin == pytest.approx(margin)
        unknown = gate.model_copy(update={"confidence": 0.8})
        assert judge(artifact, judged_by(unknown, base)).margin == -MOST_DROP


def fidelity(**fields: Any) -> FidelityResult:
    given = {"rows": 9, "cosine_similarity": 1.0, "mean_squared_error": 0.0, "is_identical": False}
    return FidelityResult.model_validate({"snr_db": 30.0, **given, **fields})


def test_agreement_is_that_of_the_worst_output_that_has_one() -> None:
    """Outputs that are no distribution are not asked."""
    gate = MinAgreementGate(type="min_agreement", value=0.9)
    outputs = {
        "a": fidelity(agreement=0.97),
        "b": fidelity(agreement=0.93),
        "c": fidelity(agreement=None),
    }
    found = judge(made({}, fidelity=outputs), judged_by(gate, made({})))
    assert (found.value, found.margin) == pytest.approx((0.93, 0.03))


def test_without_noise_a_ratio_is_beyond_any_limit() -> None:
    """With neither noise nor identity the output does not vary, and fails any limit."""
    judgement = judged_by(MinSnrGate(type="min_snr_db", value=40), made({}))
    same = judge(made({}, fidelity={"a": fidelity(snr_db=None, is_identical=True)}), judgement)
    assert (same.value, same.margin) == (None, MOST_DECIBELS)
    dead = judge(made({}, fidelity={"a": fidelity(snr_db=None)}), judgement)
    assert dead.margin == -MOST_DECIBELS
    both = {"a": fidelity(snr_db=None, is_identical=True), "b": fidelity(snr_db=35.0)}
    assert judge(made({}, fidelity=both), judgement).margin == approx(-5)


def test_the_lower_end_of_a_ratio_counts_with_a_confidence() -> None:
    """Too few rows give no interval: then nothing passes."""
    gate = MinSnrGate(type="min_snr_db", value=28, confidence=0.9)
    sure = fidelity(intervals={"snr_db": [bounds(27, 33)]})
    found = judge(made({}, fidelity={"a": sure}), judged_by(gate, made({})))
    assert (found.value, found.bound, found.margin) == (30, 27, -1)
    few = judge(made({}, fidelity={"a": fidelity()}), judged_by(gate, made({})))
    assert few.margin == approx(-MOST_DECIBELS - 28)
