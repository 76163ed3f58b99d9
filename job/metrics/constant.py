"""The metrics of a constant answer: a model that is no better does not work, even if gates pass.

The constant answer is the best one that the training targets give: for classes their frequencies
(the largest is the most common class), for numbers the mean or, where that is better, the median.
It is measured by the same losses and metrics on the same test rows as every file. Where several
classes are about as common among the training rows, it is the one that scores best on the test
rows: which one leads is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.manifest.keras_names import HINGES, lower_is_better
from job.metrics.artifact import Evaluator
from job.metrics.per_class import Labels
from job.metrics.quality import Inputs, Output, Outputs, evaluate
from job.objective.losses import Objective
from job.result.result import metric_key
from job.result.specs import TensorSpec

Array = NDArray[Any]
# Frequencies of classes are clipped this far from 0 and 1, where logits are infinite.
SMALLEST_SHARE = 1e-6
# Where the targets are larger, mean and median are of every n-th row.
MOST_BYTES = 1 << 26
# Classes are about as common where their counts differ by at most this many standard deviations of
# the difference, which chance alone gives.
TIED = 0.5
# Of two equal shares, one is raised by this.
NUDGE = 1e-6
# Test rows that are read at a time to count their classes.
COUNTED_ROWS = 256


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
        _answers(it, wanted, spec, partial(_test_counts, evaluator, index))
        for index, (it, wanted, spec) in enumerate(zip(objectives, targets, outputs, strict=True))
    ]
    found: dict[str, dict[str, float]] = {name: {} for name in evaluator.objectives}
    names = list(evaluator.objectives)
    for choice in range(max(len(it) for it in answers)):
        chosen = [it[min(choice, len(it) - 1)] for it in answers]
        always = _Constant(chosen)
        values = evaluate(always, evaluator.samples, evaluator.objectives).metrics
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


def _answers(
    objective: Objective,
    targets: Array,
    output: TensorSpec,
    test_counts: Callable[[Labels], NDArray[np.int64]],
) -> list[Output]:
    """The candidates for an output's best constant answer, each of one row's shape."""
    units = (output.shape[-1] or 0) if output.shape else 1
    labels = Labels.of(objective.loss_name, units, objective.last_axis)
    if labels.kind == "none":
        step = -(-targets.nbytes // MOST_BYTES)  # the median makes a copy
        part = targets[:: max(1, step)]
        both = np.mean(part, axis=0, dtype=np.float64), np.median(part, axis=0)
        return [np.asarray(it, np.float32) for it in both]
    if objective.loss_name in HINGES:
        shares = _with_ties(targets > 0.5)
        return [np.where(it > 0.5, 1, -1).astype(np.float32) for it in shares]
    is_one_of = labels.kind in ("indices", "rows")
    shares = _of_classes(labels, targets, output, test_counts) if is_one_of else _with_ties(targets)
    clipped = [np.clip(it, SMALLEST_SHARE, 1 - SMALLEST_SHARE) for it in shares]
    if objective.from_logits:
        clipped = [np.log(it) if is_one_of else np.log(it / (1 - it)) for it in clipped]
    return [np.asarray(it, np.float32) for it in clipped]


def _of_classes(
    labels: Labels,
    targets: Array,
    output: TensorSpec,
    test_counts: Callable[[Labels], NDArray[np.int64]],
) -> list[Array]:
    """The share of each class; and with the best of the most common ones as the largest share."""
    is_rows = labels.kind == "rows"  # one-hot or soft
    every = tuple(range(targets.ndim - 1))
    counts = np.asarray(np.sum(targets, every, np.float64) if is_rows else labels.counts(targets))
    sizes = targets.shape[1:] if labels.kind == "indices" else targets.shape[1:-1]
    if len(sizes) == len(output.shape):  # class indices with a last axis of size one
        sizes = sizes[:-1]
    share = counts / counts.sum()
    found, most = [share], int(counts.argmax())
    tied = np.flatnonzero(counts[most] - counts <= TIED * np.sqrt(counts[most] + counts))
    if tied.size > 1:
        best = tied[test_counts(labels)[tied].argmax()]
        other = share.copy()
        other[[most, best]] = share[[best, most]]
        other[best] += NUDGE
        found.append(other)
    return [np.broadcast_to(it, (*sizes, it.size)) for it in found]


def _with_ties(targets: Array) -> list[Array]:
    """The shares of ones; where some are about a half, also with these above, and below."""
    share, rows = np.asarray(np.mean(targets, axis=0, dtype=np.float64)), len(targets)
    tied = np.abs(2 * share - 1) * rows <= TIED * np.sqrt(rows)
    if not tied.any():
        return [share]
    above = np.maximum(np.maximum(share, 1 - share), 0.5 + NUDGE)
    return [share, np.where(tied, above, share), np.where(tied, 1 - above, share)]


def _test_counts(evaluator: Evaluator, index: int, labels: Labels) -> NDArray[np.int64]:
    """How often each class occurs in the test rows of an output."""
    found = np.zeros(labels.classes, np.int64)
    for start in range(0, evaluator.samples.count, COUNTED_ROWS):
        _, targets = evaluator.samples.read(
            start, min(start + COUNTED_ROWS, evaluator.samples.count)
        )
        found += labels.counts(targets[index])
    return found
