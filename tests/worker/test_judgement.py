"""How trials are judged: against the same rows or the test rows, by values or their intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from job.errors import InputError
from job.manifest.gates import MinAgreementGate, MinSnrGate, MinValueGate
from job.manifest.search import SearchConfig
from job.metrics.artifact import Measured, measure_model
from job.worker.context import Loaded
from job.worker.judgement import (
    SEEN_CONFIDENCE,
    gate_of,
    held_out_samples,
    judgement_of,
    measured_metrics,
    unjudged_outputs,
)
from job.worker.verdict import judge
from tests.worker.test_sensitivity import folder, loaded  # noqa: F401 - a fixture
from tests.worker.test_verdict import approx, drop, judged_by, made

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
    assert unjudged_outputs(judged_by(drop(), base)) == ["side_angle"]
    assert unjudged_outputs(judged_by(drop("loss"), base)) == []
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
    least = MinValueGate(type="min_value", metric="accuracy", value=0.7)
    assert gate_of(SearchConfig(min_value=0.7), base, given) == least
    with pytest.raises(InputError, match="accuracy is at most 1, so 70 can't") as percent:
        gate_of(SearchConfig(min_value=70), base, given)
    assert percent.value.where == "search.min_value"
    with pytest.raises(InputError, match="accuracy is at most 1, so 1 allows any file") as point:
        gate_of(SearchConfig(max_drop=1), base, given)
    assert point.value.where == "search.max_drop"
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


def test_a_confidence_that_the_rows_do_not_give_is_refused(
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """No file would pass. A proportion has an interval of any number of rows."""
    given = loaded(folder, tmp_path)
    assert given.dataset.validation is not None
    few = replace(given, dataset=replace(given.dataset, validation=given.dataset.train.rows(0, 20)))
    base = baseline_of(few)
    config = SearchConfig(confidence=0.9)
    for gate in (drop("loss"), MinSnrGate(type="min_snr_db", value=5)):
        with pytest.raises(InputError, match="20 held-out rows give no interval") as caught:
            judgement_of(few, config, gate, base)
        assert caught.value.where == "search.confidence"
        assert judgement_of(few, SearchConfig(), gate, base).gate.confidence is None
        assert judgement_of(given, config, gate, baseline_of(given)).gate.confidence == 0.9
    assert judgement_of(few, config, drop(), base).gate.confidence == 0.9


def test_without_held_out_rows_that_is_said(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    """Nothing is trained then."""
    given = loaded(folder, tmp_path)
    alone = replace(given, dataset=replace(given.dataset, validation=None))
    assert judgement_of(alone, SearchConfig(), drop(), baseline_of(alone)).why.startswith(
        "nothing is trained, so no rows are held out"
    )


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
    # A value of its own is compared with nothing, but such rows flatter files all the same.
    least = MinValueGate(type="min_value", metric="accuracy", value=0.7)
    absolute = judgement_of(harder, SearchConfig(), least, base)
    assert absolute.gate.confidence == SEEN_CONFIDENCE
    assert "files are compared" not in absolute.why
    alone = judgement_of(given, SearchConfig(), least, baseline_of(given))
    assert alone.gate.confidence is None
    assert alone.why.startswith("the limit is a value of its own; the baseline has accuracy ")
