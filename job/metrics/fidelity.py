"""How close a file's outputs are to those of the model that came in, with or without labels.

The rows are the test rows, or the first of them where the outputs of all would take too much
memory. A softmax ignores a number that is added to all logits of a row, and training may let it
drift; so each row's mean is subtracted from such logits before they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from job.errors import InputError
from job.manifest.gates import GateConfig, MinAgreementGate, MinSnrGate
from job.metrics import interval
from job.metrics.interval import Numbers
from job.metrics.quality import Output, Outputs
from job.objective.answers import Answer
from job.result.figures import FidelityResult, IntervalResult


def fidelity(
    baseline: Mapping[str, Output],
    outputs: Outputs,
    answers: Mapping[str, Answer],
    confidences: Sequence[float],
    *,
    synthetic: bool = False,
) -> dict[str, FidelityResult]:
    """Compare a file's outputs with the baseline's.

    Args:
        baseline: Output name -> (rows, ...) of the model that came in, in the model's order.
        outputs: The same rows' outputs of the file.
        answers: What each output's values are.
        confidences: The levels of the intervals.
        synthetic: Whether the rows were drawn at random.
    """
    pairs = zip(baseline.items(), outputs, strict=True)
    return {
        name: _of_output(was, now, answers[name], confidences, synthetic=synthetic)
        for (name, was), now in pairs
    }


def check_fidelity(gates: Sequence[GateConfig], answers: Mapping[str, Answer]) -> None:
    """Check, before training, that the gates on fidelity can be judged.

    Args:
        gates: The manifest's gates.
        answers: What each output's values are.

    Raises:
        InputError: Where a gate names an output that the model does not have, or asks for the
            agreement of one that is no distribution.
    """
    for index, gate in enumerate(gates):
        if not isinstance(gate, MinAgreementGate | MinSnrGate):
            continue
        if gate.output is not None and gate.output not in answers:
            raise InputError(
                f"The model has no output {gate.output}; its outputs: {', '.join(answers)}.",
                where=f"gates.{index}.output",
                hint="Name one of these.",
            )
        asked = {gate.output: answers[gate.output]} if gate.output else answers
        if isinstance(gate, MinAgreementGate) and all(
            it.kind == "numbers" for it in asked.values()
        ):
            why = "; ".join(f"{name}: {it.reason}" for name, it in asked.items())
            raise InputError(
                f"There is no answer to agree with: no output is a distribution ({why}).",
                where=f"gates.{index}",
                hint="Use min_snr_db; or, where outputs are logits, say so in training.loss with "
                '"from_logits": true.',
            )


def _of_output(
    before: Output, after: Output, answer: Answer, confidences: Sequence[float], *, synthetic: bool
) -> FidelityResult:
    rows = len(before)
    was, now = (_compared(it, answer).reshape(rows, -1) for it in (before, after))
    errors = np.mean((now - was) ** 2, axis=1, keepdims=True)
    mean, variance = float(errors.mean()), float(np.mean(np.var(was, axis=0)))
    intervals = {}
    agreement = None
    if answer.kind != "numbers":
        same = agreeing(before, after, answer).reshape(rows, -1)
        agreement = float(same.mean())
        intervals["agreement"] = [
            it for level in confidences if (it := _of_share(same, level)) is not None
        ]
    snr = None
    if mean > 0 and variance > 0:
        snr = 10 * math.log10(variance / mean)
        # The variance is known from these rows, too; how far their mean moves is of second order.
        apart = np.mean((was - was.mean(axis=0)) ** 2, axis=1, keepdims=True)
        sums = interval.grouped(np.concatenate([errors, apart], axis=1))
        found = [interval.bootstrap(sums, _decibels, level) for level in confidences]
        intervals["snr_db"] = [it for it in found if it is not None]
    return FidelityResult(
        rows=rows,
        agreement=agreement,
        cosine_similarity=_cosine(was, now),
        mean_squared_error=mean,
        snr_db=snr,
        is_identical=bool(np.array_equal(before, after)),
        intervals=intervals,
        synthetic=synthetic,
    )


def _compared(outputs: Output, answer: Answer) -> Numbers:
    values = outputs.astype(np.float64)
    if answer.kind == "softmax" and answer.from_logits:
        values -= values.mean(axis=-1, keepdims=True)
    return values


def agreeing(before: Output, after: Output, answer: Answer) -> np.ndarray:
    """Whether each answer is the same: (rows, ...) without the last axis of a ``softmax``."""
    if answer.kind == "softmax":
        return np.asarray(before.argmax(axis=-1) == after.argmax(axis=-1))
    border = 0.0 if answer.from_logits else 0.5
    return np.asarray((before > border) == (after > border))


def _of_share(same: np.ndarray, confidence: float) -> IntervalResult | None:
    if same.shape[1] == 1 or same.all() or not same.any():  # a row with all its decisions is one
        return interval.wilson(int(same.all(axis=1).sum()), len(same), confidence)
    shares = interval.grouped(same.mean(axis=1, keepdims=True))
    return interval.bootstrap(shares, lambda means: means[:, 0], confidence)


def _decibels(means: Numbers) -> Numbers:
    """The signal-to-noise ratio: from the means of errors, and of what it varies by."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(means[:, 1] / means[:, 0])


def _cosine(was: Numbers, now: Numbers) -> float | None:
    if was.shape[1] == 1:
        was, now = was.T, now.T
    sizes = np.linalg.norm(was, axis=1) * np.linalg.norm(now, axis=1)
    is_given = sizes > 0
    if not is_given.any():
        return None
    products = np.sum(was * now, axis=1)[is_given] / sizes[is_given]
    return float(products.mean())
