"""Gates that need no labels, and gates that ask for confidence."""

from __future__ import annotations

from typing import Any

import pytest

from job.metrics.gates import judge, losses_of_quality
from job.metrics.interval import wilson
from job.result.figures import DropResult, FidelityResult, IntervalResult
from job.result.result import ArtifactResult, GateResult
from tests.metrics.test_gates import GATE, artifact


def bounds(low: float, high: float, confidence: float = 0.95) -> IntervalResult:
    return IntervalResult(low=low, high=high, confidence=confidence, method="bootstrap")


def close(**fields: Any) -> FidelityResult:
    """Agreement 0.98 (0.96 to 0.99), 30 dB (28 to 32), with other fields."""
    given = {
        "rows": 500,
        "agreement": 0.98,
        "cosine_similarity": 0.999,
        "mean_squared_error": 0.001,
        "snr_db": 30.0,
        "is_identical": False,
        "intervals": {
            "agreement": [bounds(0.96, 0.99), bounds(0.97, 0.985, 0.8)],
            "snr_db": [bounds(28, 32), bounds(29, 31, 0.8)],
        },
    }
    return FidelityResult.model_validate(given | fields)


NUMBERS = close(agreement=None, snr_db=12.0, intervals={"snr_db": [bounds(11, 13)]})
SAME = close(
    agreement=1.0, snr_db=None, is_identical=True, intervals={"agreement": [wilson(500, 500)]}
)


def judged(outputs: dict[str, FidelityResult], kind: str, **fields: Any) -> list[GateResult]:
    """The verdicts on the one file that was made."""
    made = artifact("prune", 100, {}).model_copy(update={"fidelity": outputs})
    gate = GATE.validate_python({"type": kind, **fields})
    return judge([gate], [artifact("baseline", 1000, {}), made])


@pytest.mark.parametrize(
    ("kind", "passes", "misses"), [("min_agreement", 0.98, 0.9801), ("min_snr_db", 30, 30.01)]
)
def test_fidelity_is_judged_at_its_limit(kind: str, passes: float, misses: float) -> None:
    """The limit passes, the next value does not; the value is the measured one."""
    (found,) = judged({"out": close()}, kind, value=passes)
    assert found.passed
    assert (found.value, found.limit, found.within_chance, found.bound) == (
        *(passes, passes, None),
        None,
    )
    (found,) = judged({"out": close()}, kind, value=misses)
    assert (found.passed, found.within_chance) == (False, True)


def test_the_explanations_are_sentences_with_units() -> None:
    """The file, the figure, whether a miss may be chance, and what was asked for."""
    texts = [
        judged({"out": close()}, kind, value=value)[0].explanation
        for kind, value in (
            ("min_agreement", 0.9),
            ("min_agreement", 0.985),
            ("min_agreement", 0.995),
            ("min_snr_db", 20),
            ("min_snr_db", 31),
            ("min_snr_db", 40),
        )
    ]
    agreement = "prune: agreement with the baseline 0.98"
    ratio = "prune: signal-to-noise ratio 30 dB"
    shares, decibels = "the 95 % interval is 0.96 to 0.99", "the 95 % interval is 28 to 32"
    assert texts == [
        f"{agreement}, at least 0.9",
        f"{agreement} (within chance, {shares}), at least 0.985",
        f"{agreement} (beyond chance, {shares}), at least 0.995",
        f"{ratio}, at least 20 dB",
        f"{ratio} (within chance, {decibels}), at least 31 dB",
        f"{ratio} (beyond chance, {decibels}), at least 40 dB",
    ]


def test_of_several_outputs_each_that_has_the_figure_is_judged() -> None:
    """An output of numbers has no agreement; a gate may name one output."""
    outputs = {"side": close(), "angle": NUMBERS}
    (found,) = judged(outputs, "min_agreement", value=0.9)
    assert (found.gate["output"], found.passed) == ("side", True)
    both = judged(outputs, "min_snr_db", value=20)
    assert [(it.gate["output"], it.value, it.passed) for it in both] == [
        ("side", 30.0, True),
        ("angle", 12.0, False),
    ]
    assert both[1].explanation.startswith("prune: signal-to-noise ratio of angle 12 dB")
    (found,) = judged(outputs, "min_snr_db", value=20, output="side")
    assert found.passed


def test_identical_outputs_pass_any_gate_on_fidelity() -> None:
    """There is no noise, so there is no ratio to compare."""
    (found,) = judged({"out": SAME}, "min_snr_db", value=200)
    assert (found.passed, found.value) == (True, None)
    assert found.explanation == ("prune: signal-to-noise ratio: no difference, at least 200 dB")
    assert judged({"out": SAME}, "min_snr_db", value=200, confidence=0.95)[0].passed
    assert judged({"out": SAME}, "min_agreement", value=1, confidence=0.95)[0].passed


def test_a_constant_baseline_misses() -> None:
    """There is no signal, and the outputs differ."""
    constant = close(agreement=None, snr_db=None, intervals={})
    for confidence in (None, 0.95):
        (found,) = judged({"out": constant}, "min_snr_db", value=-50, confidence=confidence)
        assert (found.passed, found.value, found.within_chance) == (False, None, None)
        assert "no signal to compare with" in found.explanation


@pytest.mark.parametrize(
    ("kind", "confidence", "passes", "misses"),
    [
        ("min_agreement", 0.95, 0.96, 0.961),
        ("min_agreement", 0.8, 0.97, 0.971),
        ("min_snr_db", 0.95, 28, 28.1),
        ("min_snr_db", 0.8, 29, 29.1),
    ],
)
def test_with_a_confidence_the_bound_decides(
    kind: str, confidence: float, passes: float, misses: float
) -> None:
    """That of the level that is asked for; the measured value passes both."""
    (found,) = judged({"out": close()}, kind, value=passes, confidence=confidence)
    assert (found.passed, found.bound) == (True, passes)
    level = f"with {100 * confidence:g} % confidence"
    assert f" (at least {passes:g} {level}), at least" in found.explanation
    (found,) = judged({"out": close()}, kind, value=misses, confidence=confidence)
    assert (found.passed, found.bound, found.within_chance) == (False, passes, True)
    assert f" (at least {passes:g} {level}) (within chance), at least" in found.explanation


def pair() -> list[ArtifactResult]:
    """An accuracy from 0.9 to 0.89 and an error from 2 to 2.2, with their intervals."""
    before = artifact("baseline", 1000, {}, accuracy=0.9, mean_absolute_error=2.0)
    after = artifact("prune", 100, {}, accuracy=0.89, mean_absolute_error=2.2)
    return [
        before,
        after.model_copy(
            update={
                "intervals": {
                    "accuracy": [bounds(0.87, 0.91)],
                    "mean_absolute_error": [bounds(2.0, 2.4)],
                },
                "drops": {
                    "accuracy": DropResult(value=0.01, intervals=[bounds(0.002, 0.018)]),
                    "mean_absolute_error": DropResult(value=0.2, intervals=[bounds(0.1, 0.3)]),
                },
            }
        ),
    ]


@pytest.mark.parametrize(
    ("kind", "metric", "bound", "step"),
    [
        ("max_drop", "accuracy", 0.018, -1e-3),
        ("max_drop", "mean_absolute_error", 0.3, -1e-3),
        ("min_value", "accuracy", 0.87, 1e-3),
        ("min_value", "mean_absolute_error", 2.4, -1e-3),
    ],
)
def test_the_bound_of_a_metric_is_the_one_on_the_wrong_side(
    kind: str, metric: str, bound: float, step: float
) -> None:
    """Of a drop, and of an error, the upper one; of an accuracy the lower one."""
    asked = {"type": kind, "metric": metric, "confidence": 0.95}
    for value, passed in ((bound, True), (bound + step, False)):
        (found,) = judge([GATE.validate_python(asked | {"value": value})], pair())
        assert (found.bound, found.passed) == (bound, passed)
        assert found.within_chance is (None if passed else True)


def test_a_miss_of_a_metric_says_whether_it_is_within_chance() -> None:
    """By the interval of the paired difference, with and without a confidence."""
    for value, within in ((0.005, True), (0.001, False)):
        gate = {"type": "max_drop", "metric": "accuracy", "value": value}
        (found,) = judge([GATE.validate_python(gate)], pair())
        assert (found.passed, found.within_chance, found.bound) == (False, within, None)
        says = "within chance" if within else "beyond chance"
        assert f"({says}, the 95 % interval is 0.002 to 0.018)" in found.explanation
        assert found.explanation.endswith(f"; at most {value:g} worse")


def test_confidence_in_what_has_no_interval_is_no_pass() -> None:
    """However good the measured value is."""
    before, after = pair()
    bare = after.model_copy(update={"intervals": {}, "drops": {}})
    for kind, value in (("max_drop", 1), ("min_value", 0)):
        gate = {"type": kind, "metric": "accuracy", "value": value, "confidence": 0.95}
        (found,) = judge([GATE.validate_python(gate)], [before, bare])
        assert (found.passed, found.bound, found.within_chance) == (False, None, None)
        assert "which has no interval" in found.explanation


def test_a_file_that_differs_much_is_reported_where_there_are_no_labels() -> None:
    """Under 95 % of the answers, or more noise than signal; with labels, metrics say it."""

    def losses(found: FidelityResult, **metrics: float) -> list[str]:
        update = {"fidelity": {"out": found}, "metrics": metrics}
        base, made = artifact("baseline", 1000, {}), artifact("prune", 100, {})
        return losses_of_quality(
            base.model_copy(update={"metrics": metrics}), made.model_copy(update=update)
        )

    assert losses(close()) == []
    assert "90 % of the answers in prune" in losses(close(agreement=0.9))[0]
    assert "-3 dB" in losses(close(agreement=None, snr_db=-3.0))[0]
    assert losses(close(agreement=0.9), accuracy=0.8) == []
