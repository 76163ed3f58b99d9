"""The metrics of a constant answer: a model that is no better does not work, even if gates pass.

The constant answer is the best one that the training targets give: for classes their frequencies
(the largest is the most common class), for numbers the mean or, where that is better, the median.
It is measured by the same losses and metrics on the same test rows as every file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.manifest.keras_names import HINGES, lower_is_better
from job.metrics.artifact import Evaluator
from job.metrics.per_class import Labels
from job.metrics.quality import Inputs, Output, Outputs, evaluate
from job.objective.losses import Objective
from job.result import TensorSpec, metric_key

Array = NDArray[Any]
# Frequencies of classes are clipped this far from 0 and 1, where logits are infinite.
SMALLEST_SHARE = 1e-6
# Where the targets are larger, mean and median are of every n-th row.
MOST_BYTES = 1 << 26


def constant_metrics(
    targets: Sequence[Array], outputs: Sequence[TensorSpec], evaluator: Evaluator
) -> dict[str, dict[str, float]]:
    """The metrics of the best constant answer on the test rows: output -> metric -> value.

    Args:
        targets: The training rows' targets of each output, (rows, ...).
        outputs: The model's outputs, in its order.
        evaluator: The test rows, and each output's losses and metrics.
    """
    objectives = list(evaluator.objectives.values())
    answers = [
        _answers(it, wanted, spec)
        for it, wanted, spec in zip(objectives, targets, outputs, strict=True)
    ]
    found: dict[str, dict[str, float]] = {name: {} for name in evaluator.objectives}
    names = list(evaluator.objectives)
    for choice in range(max(len(it) for it in answers)):
        chosen = [it[min(choice, len(it) - 1)] for it in answers]
        always = _Constant(chosen)
        values = evaluate(always, evaluator.read, evaluator.rows, evaluator.objectives).metrics
        for name, objective in evaluator.objectives.items():
            for metric in ("loss", *objective.metric_names):
                value = values[metric_key(metric, name, names)]
                before = found[name].get(metric, value)
                better = min if lower_is_better(metric) else max
                found[name][metric] = better(before, value)
    return found


class _Constant:
    """A ``Predict`` that gives the same answer, of one row's shape, for every row."""

    def __init__(self, answers: Sequence[Output]) -> None:
        self._answers = answers

    def __call__(self, inputs: Inputs) -> Outputs:
        rows = len(inputs[0])
        return tuple(np.broadcast_to(it, (rows, *it.shape)) for it in self._answers)


def _answers(objective: Objective, targets: Array, output: TensorSpec) -> list[Output]:
    """The candidates for an output's best constant answer, each of one row's shape."""
    units = (output.shape[-1] or 0) if output.shape else 1
    labels = Labels.of(objective.loss_name, units, objective.last_axis)
    if labels.kind == "none":
        step = -(-targets.nbytes // MOST_BYTES)  # the median makes a copy
        some = targets[:: max(1, step)]
        both = np.mean(some, axis=0, dtype=np.float64), np.median(some, axis=0)
        return [np.asarray(it, np.float32) for it in both]
    if objective.loss_name in HINGES:
        most = np.where(np.mean(targets > 0.5, axis=0) > 0.5, 1, -1)
        return [np.asarray(most, np.float32)]
    if labels.kind in ("binary", "several", "unclear"):
        share = np.mean(targets, axis=0, dtype=np.float64)
    else:
        is_rows = labels.kind == "rows"  # one-hot or soft
        every = tuple(range(targets.ndim - 1))
        counts = np.mean(targets, every, np.float64) if is_rows else labels.counts(targets)
        sizes = targets.shape[1:] if labels.kind == "indices" else targets.shape[1:-1]
        if len(sizes) == len(output.shape):  # class indices with a last axis of size one
            sizes = sizes[:-1]
        share = np.broadcast_to(counts / counts.sum(), (*sizes, counts.size))
    share = np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    if objective.from_logits:
        is_one_of = labels.kind in ("indices", "rows")
        share = np.log(share) if is_one_of else np.log(share / (1 - share))
    return [np.asarray(share, np.float32)]
