"""How close outputs are to the baseline's: the figures that NumPy computes in a line or two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from job.errors import InputError
from job.manifest.gates import GateConfig
from job.metrics.fidelity import check_fidelity, fidelity
from job.metrics.interval import wilson
from job.objective.answers import Answer
from job.result.figures import FidelityResult

GATE: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
ROWS, STEPS, CLASSES = 500, 12, 5
SOFTMAX = Answer("softmax", from_logits=False, reason="the model ends in softmax")
SIGMOID = Answer("sigmoid", from_logits=False, reason="the model ends in sigmoid")
NUMBERS = Answer("numbers", from_logits=False, reason="the last layer has no activation")


def pair(*shape: int, noise: float = 0.5) -> tuple[Any, Any]:
    """Outputs before and after, that are about the same."""
    random = np.random.default_rng(4)
    before = random.normal(size=(ROWS, *shape))
    after = before + noise * random.normal(size=before.shape)
    return before.astype("float32"), after.astype("float32")


def compare(before: Any, after: Any, answer: Answer, *levels: float) -> FidelityResult:
    found = fidelity({"out": before}, (after,), {"out": answer}, levels or (0.95,))
    assert list(found) == ["out"]
    return found["out"]


def cosines(before: Any, after: Any) -> Any:
    flat = [it.reshape(len(it), -1).astype(float) for it in (before, after)]
    return np.sum(flat[0] * flat[1], 1) / np.prod([np.linalg.norm(it, axis=1) for it in flat], 0)


@pytest.mark.parametrize("shape", [(CLASSES,), (STEPS, CLASSES), (4, 4, 2)])
@pytest.mark.parametrize("answer", [SOFTMAX, SIGMOID, NUMBERS], ids=lambda it: it.kind)
def test_all_figures_are_those_of_numpy(answer: Answer, shape: tuple[int, ...]) -> None:
    """For vectors, sequences and images; numbers have no agreement."""
    before, after = pair(*shape)
    if answer is SIGMOID:
        before, after = before + 0.5, after + 0.5
    found = compare(before, after, answer)
    error = np.mean((after.astype(float) - before) ** 2)
    assert (found.rows, found.is_identical, found.synthetic) == (ROWS, False, False)
    assert found.mean_squared_error == pytest.approx(error)
    variance = np.mean(before.astype(float).var(axis=0))
    assert found.snr_db == pytest.approx(10 * np.log10(variance / error))
    assert found.cosine_similarity == pytest.approx(cosines(before, after).mean())
    match answer.kind:
        case "softmax":
            same = before.argmax(-1) == after.argmax(-1)
        case "sigmoid":
            same = (before > 0.5) == (after > 0.5)
        case "numbers":
            assert found.agreement is None
            assert set(found.intervals) == {"snr_db"}
            return
    assert found.agreement is not None
    assert found.agreement == pytest.approx(same.mean())
    assert found.agreement < 0.99
    (bounds,) = found.intervals["agreement"]
    assert bounds.low < found.agreement < bounds.high


def test_logits_are_divided_at_zero_and_probabilities_at_a_half() -> None:
    """A value of 0.2 is true as a logit, and false as a probability."""
    before, after = np.full((4, 1), 0.2, "float32"), np.full((4, 1), 0.7, "float32")
    assert compare(before, after, SIGMOID).agreement == 0
    logits = Answer("sigmoid", from_logits=True, reason="")
    assert compare(before, after, logits).agreement == 1


def test_the_interval_of_one_answer_a_row_is_wilsons() -> None:
    """At each level that is asked for, 0.95 first."""
    before, after = pair(CLASSES)
    found = compare(before, after, SOFTMAX, 0.95, 0.8)
    same = int((before.argmax(1) == after.argmax(1)).sum())
    assert found.intervals["agreement"] == [wilson(same, ROWS), wilson(same, ROWS, 0.8)]
    wide, narrow = found.intervals["snr_db"]
    assert wide.low < narrow.low < (found.snr_db or math.nan) < narrow.high < wide.high


def test_the_steps_of_a_sequence_do_not_count_as_rows() -> None:
    """Where all steps of a row agree or none does, the interval is that of the rows."""
    before, after = pair(CLASSES)
    several = [np.repeat(it[:, None], STEPS, axis=1) for it in (before, after)]
    one, many = compare(before, after, SOFTMAX), compare(several[0], several[1], SOFTMAX)
    assert many.agreement == pytest.approx(one.agreement)
    widths = [it.high - it.low for found in (one, many) for it in found.intervals["agreement"]]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_the_interval_of_the_ratio_is_that_of_signal_and_error() -> None:
    """By the delta method, in decibels: both are known from these rows alone."""
    before, after = pair(CLASSES)
    (bounds,) = compare(before, after, NUMBERS).intervals["snr_db"]
    errors = np.mean((after.astype(float) - before) ** 2, axis=1)
    signal = np.mean((before - before.mean(axis=0)).astype(float) ** 2, axis=1)
    each = signal / signal.mean() - errors / errors.mean()
    half = 1.96 * 10 / np.log(10) * each.std() / np.sqrt(ROWS)
    assert (bounds.high - bounds.low) / 2 == pytest.approx(half, rel=0.1)


def test_identical_outputs_have_no_noise() -> None:
    """The ratio would be infinite, which JSON does not have."""
    before, _ = pair(CLASSES)
    found = compare(before, before.copy(), SOFTMAX)
    assert (found.is_identical, found.agreement, found.mean_squared_error) == (True, 1.0, 0.0)
    assert found.snr_db is None
    assert found.cosine_similarity == pytest.approx(1)
    assert set(found.intervals) == {"agreement"}


def test_a_baseline_that_is_constant_has_no_signal() -> None:
    """Nothing can be said of the ratio; of zeros not even of the angle."""
    before, after = np.ones((ROWS, 3), "float32"), pair(3)[1]
    found = compare(before, after, NUMBERS)
    assert (found.snr_db, found.is_identical, found.intervals) == (None, False, {})
    assert found.mean_squared_error > 0
    assert found.cosine_similarity is not None
    assert compare(before * 0, after, NUMBERS).cosine_similarity is None
    assert compare(after, before * 0, NUMBERS).cosine_similarity is None


def test_rows_of_zeros_do_not_count_in_the_cosine() -> None:
    """They have no direction."""
    before, after = pair(CLASSES)
    before[::2] = 0
    found = compare(before, after, NUMBERS).cosine_similarity
    assert found == pytest.approx(cosines(before[1::2], after[1::2]).mean())


def test_an_output_of_one_number_has_the_cosine_of_all_rows() -> None:
    """That of a row would be 1 or -1. Models may leave out the last axis, too."""
    before, after = pair()
    whole = float(before @ after / np.linalg.norm(before) / np.linalg.norm(after))
    for shape in ((ROWS,), (ROWS, 1), (ROWS, 1, 1)):
        found = compare(before.reshape(shape), after.reshape(shape), NUMBERS)
        assert found.cosine_similarity == pytest.approx(whole, rel=1e-5)


def test_several_outputs_are_compared_each_with_its_own() -> None:
    """In the model's order."""
    before, after = pair(CLASSES)
    found = fidelity(
        {"side": before, "angle": before[:, :1]},
        (after, before[:, :1]),
        {"side": SOFTMAX, "angle": NUMBERS},
        [0.95],
        synthetic=True,
    )
    assert list(found) == ["side", "angle"]
    assert (found["side"].is_identical, found["angle"].is_identical) == (False, True)
    assert found["side"].synthetic
    assert found["angle"].synthetic


def test_a_gate_on_fidelity_that_can_not_be_judged_is_refused() -> None:
    """Before any training: an unknown output, or the agreement of numbers."""
    answers = {"side": SOFTMAX, "angle": NUMBERS}
    size = {"type": "max_bytes", "value": 10}

    def check(**fields: Any) -> None:
        check_fidelity([GATE.validate_python(it) for it in (size, fields)], answers)

    check(type="min_agreement", value=0.9)
    check(type="min_agreement", value=0.9, output="side")
    check(type="min_snr_db", value=20, output="angle")
    for kind in ("min_agreement", "min_snr_db"):
        with pytest.raises(InputError, match="no output other; its outputs: side, angle") as caught:
            check(type=kind, value=0.9, output="other")
        assert caught.value.where == "gates.1.output"
    with pytest.raises(InputError, match="no output is a distribution") as caught:
        check(type="min_agreement", value=0.9, output="angle")
    assert caught.value.where == "gates.1"
    assert "the last layer has no activation" in caught.value.what
    assert "min_snr_db" in caught.value.hint


@pytest.mark.parametrize("shape", [(CLASSES,), (STEPS, CLASSES)])
def test_what_a_softmax_ignores_is_no_error(shape: tuple[int, ...]) -> None:
    """A number that is added to all logits of a decision; to numbers it is an error."""
    before, after = pair(*shape)
    logits = Answer("softmax", from_logits=True, reason="")
    shift = np.random.default_rng(6).normal(size=(*before.shape[:-1], 1)).astype("float32")
    plain, shifted = (compare(before, it, logits) for it in (after, after + 9 * shift))
    assert shifted.mean_squared_error == pytest.approx(plain.mean_squared_error, rel=1e-5)
    assert shifted.snr_db == pytest.approx(plain.snr_db, rel=1e-5)
    assert shifted.agreement == plain.agreement
    centred = [it - it.mean(axis=-1, keepdims=True, dtype=float) for it in (before, after)]
    assert plain.mean_squared_error == pytest.approx(np.mean((centred[1] - centred[0]) ** 2))
    numbers = compare(before, after + 9 * shift, NUMBERS)
    assert numbers.mean_squared_error > 10 * plain.mean_squared_error
    assert not compare(before, before + 1, logits).is_identical
