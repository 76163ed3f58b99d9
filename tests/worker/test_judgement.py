"""How trials are judged: against the same rows or the test rows, by values or their intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.errors import InputError
from job.manifest.gates import MaxDropGate, MinAgreementGate, MinSnrGate
from job.manifest.search import SearchConfig
from job.metrics.artifact import Evaluator, Measured, measure_model
from job.result.artifact import TensorResult
from job.result.figures import DropResult, FidelityResult, IntervalResult
from job.result.result import ArtifactResult
from job.worker.context import Loaded
from job.worker.judgement import (
    MOST_DECIBELS,
    MOST_DROP,
    SEEN_CONFIDENCE,
    Gate,
    Judgement,
    gate_of,
    held_out_samples,
    judge,
    judgement_of,
    measured_metrics,
    unjudged_outputs,
)
from tests.worker.test_sensitivity import folder, loaded  # noqa: F401 - a fixture


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


TWO = ("side", "side_angle")
OF_TWO = {
    "loss": 2.0,
    "side_loss": 0.5,
    "side_accuracy": 0.9,
    "side_angle_loss": 1.5,
    "side_angle_mean_absolute_error": 1.0,
}


def test_of_several_outputs_each_that_has_the_metric_is_judged() -> None:
    """The worst counts; the total loss is one figure; outputs that are not judged are known."""
    base = made(OF_TWO, TWO)
    assert measured_metrics(base) == ["accuracy", "mean_absolute_error", "loss"]
    worse = made(OF_TWO | {"side_accuracy": 0.8, "loss": 2.5}, TWO)
    assert judge(worse, judged_by(drop(value=0.2), base)).margin == approx(0.1)
    assert judge(worse, judged_by(drop("loss", 0.1), base)).margin == approx(-0.4)
    assert unjudged_outputs(drop(), base) == ["side_angle"]
    assert unjudged_outputs(drop("loss"), base) == []
    both = {"loss": 1.0, "side_accuracy": 0.9, "side_angle_accuracy": 0.8}
    first = made(both | {"side_angle_accuracy": 0.7, "side_accuracy": 0.95}, TWO)
    assert judge(first, judged_by(drop(), made(both, TWO))).value == approx(0.1)


def baseline_of(given: Loaded) -> Measured:
    return measure_model(given.baseline, given.evaluator, None, lambda _, __: None)


def test_the_default_loss_is_that_of_what_there_is(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    """Labels: the first metric. None: the ratio of numbers, and see the next test."""
    given = loaded(folder, tmp_path)
    base = baseline_of(given).artifact
    plain = SearchConfig()
    assert gate_of(plain, base, given) == drop(value=0.005)
    assert gate_of(SearchConfig(metric="loss", max_drop=0.1), base, given) == drop("loss", 0.1)
    with pytest.raises(InputError, match="'auc' is not measured, only accuracy, loss"):
        gate_of(SearchConfig(metric="auc"), base, given)
    numbers = loaded(folder, tmp_path, model="numbers", labelled=False)
    found = gate_of(plain, baseline_of(numbers).artifact, numbers)
    with pytest.raises(InputError, match="no output is a distribution") as refused:
        gate_of(SearchConfig(min_agreement=0.5), baseline_of(numbers).artifact, numbers)
    assert refused.value.where == "search.min_agreement"
    assert found == MinSnrGate(type="min_snr_db", value=30)
    asked = SearchConfig(min_agreement=0.5)
    assert gate_of(asked, base, given) == MinAgreementGate(type="min_agreement", value=0.5)


def test_training_rows_without_labels_are_judged_by_fidelity(
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Though the test rows have some: the choice is made on rows that have none."""
    data = {
        "type": "npz",
        "uri": str(folder / "data.npz"),
        "train": {"inputs": "x_train"},
        "test": {"inputs": "x_test", "targets": "y_test"},
    }
    given = loaded(folder, tmp_path, dataset=data)
    base = baseline_of(given)
    gate = gate_of(SearchConfig(), base.artifact, given)
    assert gate == MinAgreementGate(type="min_agreement", value=0.99)
    judgement = judgement_of(given, SearchConfig(), gate, base)
    assert judgement.baseline.artifact.metrics == {}
    assert held_out_samples(given).count == 30


def test_a_reference_is_taken_where_the_baseline_has_seen_the_rows(
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """That is: where it is better on held-out rows than on test rows by more than chance."""
    given = loaded(folder, tmp_path)
    config = SearchConfig(confidence=0.9)
    plain = judgement_of(given, config, drop(), baseline_of(given))
    assert plain.references == {}
    assert "on the same rows" in plain.why
    assert plain.gate.confidence == 0.9
    assert {0.95, 0.9} <= {*plain.evaluator.confidences}
    # Test rows whose labels are wrong: no model is as good on them as on the others.
    test = given.dataset.test
    wrong = replace(test, targets=tuple((it + 1) % 3 for it in test.targets))
    samples = replace(given.evaluator.samples, read=wrong.read)
    harder = replace(given, evaluator=replace(given.evaluator, samples=samples))
    base = baseline_of(harder)
    found = judgement_of(harder, config, drop(), base)
    assert found.references == {"accuracy": base.artifact.metrics["accuracy"]}
    assert "it was trained on the held-out rows" in found.why
    assert found.gate.confidence == 0.9
    assert np.isfinite(judge(base.artifact, found).margin)
    # Without a confidence that is asked for, such rows are judged with one all the same.
    careful = judgement_of(harder, SearchConfig(), drop(), base)
    assert careful.gate.confidence == SEEN_CONFIDENCE
    assert "95 % interval" in careful.why
    assert judgement_of(given, SearchConfig(), drop(), baseline_of(given)).gate.confidence is None
