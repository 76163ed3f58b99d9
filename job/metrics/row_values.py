"""What each row contributes to a metric, so that its spread over rows is known.

A metric is a function of means over rows: the mean itself, its root, a ratio of two means, or the
area under a curve, which follows from counts at each threshold. Where these rows do not give the
value that Keras gives, the metric has no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src.utils import losses_utils

from job.metrics import interval
from job.metrics.interval import Metric, Numbers
from job.result.figures import DropResult, IntervalResult

Array = NDArray[np.generic]
Kind = Literal["proportion", "share", "mean", "root", "ratio", "area"]
# Keras sums in float32.
NEARLY = 1e-3


def _area(means: Numbers) -> Numbers:
    """The area under the receiver operating characteristic, from true and false positives at
    rising thresholds, of which the first is below every value.
    """
    true, false = np.split(means, 2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        y, x = true / true[:, :1], false / false[:, :1]
    return np.sum((x[:, :-1] - x[:, 1:]) * (y[:, :-1] + y[:, 1:]) / 2, axis=1)


def _ratio(means: Numbers) -> Numbers:
    with np.errstate(invalid="ignore", divide="ignore"):
        return means[:, 0] / means[:, 1]


METRICS: dict[Kind, Metric] = {
    "proportion": lambda means: means[:, 0],
    "share": lambda means: means[:, 0],
    "mean": lambda means: means[:, 0],
    "root": lambda means: np.sqrt(means[:, 0]),
    "ratio": _ratio,
    "area": _area,
}


@dataclass(frozen=True)
class RowValues:
    """A metric's rows, of one file."""

    kind: Kind
    values: Array
    """Of a proportion: (rows,) whether each is right; else (groups, k + 1), sums of groups of
    rows; see ``interval.grouped``.
    """

    @property
    def value(self) -> float:
        """The metric, of all rows."""
        if self.kind == "proportion":
            return float(self.values.mean())
        total = np.asarray(self.values, np.float64).sum(axis=0, keepdims=True)
        return float(METRICS[self.kind](total[:, :-1] / total[:, -1:])[0])

    def interval(self, confidence: float) -> IntervalResult | None:
        """The interval of the metric; None where the rows do not tell."""
        if self.kind == "proportion":
            right = int(np.count_nonzero(self.values))
            return interval.wilson(right, len(self.values), confidence)
        sums = np.asarray(self.values, np.float64)
        found = interval.bootstrap(sums, METRICS[self.kind], confidence)
        if found is None and self.kind in ("share", "ratio"):  # all right, or all wrong
            right, *others = sums.sum(axis=0)
            counted = int(others[0])  # of a share the rows, with all their decisions
            share = right / counted if counted else 0.5
            is_plain = min(share, 1 - share) < interval.SAME
            return interval.wilson(round(right), counted, confidence) if is_plain else None
        return found

    def change(self, after: RowValues, confidence: float) -> IntervalResult | None:
        """The interval of another file's metric minus this one's, on the same rows; None where
        the rows do not tell.
        """
        if self.kind == after.kind == "proportion":
            was, now = np.asarray(self.values, bool), np.asarray(after.values, bool)
            gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
            return interval.paired_proportions(gained, lost, len(was), confidence)
        before, later = (it.sums for it in (self, after))
        if np.array_equal(before, later) and later[:, -1].sum() >= interval.MIN_ROWS:
            return IntervalResult(low=0, high=0, confidence=confidence, method="bootstrap")
        width = before.shape[1] - 1

        def difference(means: Numbers) -> Numbers:
            return METRICS[after.kind](means[:, width:]) - METRICS[self.kind](means[:, :width])

        return interval.bootstrap(
            np.concatenate([before[:, :-1], later], axis=1), difference, confidence
        )

    @property
    def sums(self) -> Numbers:
        """The sums of groups of rows."""
        if self.kind == "proportion":
            return interval.grouped(self.values[:, None])
        return np.asarray(self.values, np.float64)

    def drop(
        self, after: RowValues, confidences: Sequence[float], *, lower_is_better: bool
    ) -> DropResult:
        """How much worse another file is."""
        sign = 1.0 if lower_is_better else -1.0
        found = []
        for confidence in confidences:
            it = self.change(after, confidence)
            if it is None:
                continue
            low, high = sorted((sign * it.low + 0.0, sign * it.high + 0.0))  # never -0.0
            found.append(it.model_copy(update={"low": low, "high": high}))
        return DropResult(value=sign * (after.value - self.value), intervals=found)


def mean_rows(passes: Sequence[RowValues]) -> RowValues:
    """Those of several passes over the same rows, whose metrics are averaged."""
    kind = passes[0].kind
    sums = np.mean([it.sums for it in passes], axis=0)
    return RowValues("share" if kind == "proportion" else kind, sums)


def weighted(several: Sequence[RowValues], weights: Sequence[float]) -> RowValues:
    """Those of a weighted sum of means."""
    pairs = zip(several, weights, strict=True)
    total = sum(it.sums[:, :1] * weight for it, weight in pairs)
    return RowValues("mean", np.concatenate([total, several[0].sums[:, -1:]], axis=1))


class RowRecorder:
    """Records what each row contributes to one metric, batch by batch.

    Args:
        metric: Keras's metric, or a loss.
        rows: How many there are.
    """

    def __init__(self, metric: Any, rows: int) -> None:
        self._of = _rows_of(metric)
        self._groups = interval.group_of(rows)
        self._sums: Numbers | None = None
        self._flags: list[Array] = []
        self._is_proportion = True
        self._done = 0

    def add(self, targets: Array, outputs: Array) -> None:
        """The next rows."""
        if self._of is None:
            return
        numbers = self._of.rows(targets, outputs)
        one_each = numbers.shape[1] == 1 and self._of.kind == "mean" and self._of.decisions == 1
        self._is_proportion &= one_each and bool(((numbers == 0) | (numbers == 1)).all())
        if self._is_proportion:
            self._flags.append(numbers[:, 0].astype(bool))
        counted = np.concatenate([numbers, np.ones((len(numbers), 1))], axis=1)
        if self._sums is None:
            self._sums = np.zeros((int(self._groups.max()) + 1, counted.shape[1]))
        of = self._groups[self._done : self._done + len(numbers)]
        np.add.at(self._sums, of, counted)
        self._done += len(numbers)

    def found(self, value: float) -> RowValues | None:
        """The rows; None where they do not give the metric's value."""
        if self._of is None or self._sums is None:
            return None
        if self._is_proportion and self._of.can_be_proportion:
            found = RowValues("proportion", np.concatenate(self._flags))
        else:
            kind = "share" if self._of.can_be_proportion else self._of.kind
            found = RowValues(kind, self._sums)
        return found if abs(found.value - value) <= NEARLY * max(1.0, abs(value)) else None


@dataclass
class _Rows:
    """How the rows of a metric are computed."""

    kind: Kind
    rows: Callable[[Array, Array], Numbers]
    """(targets, outputs) of a batch -> (rows, k) numbers."""
    can_be_proportion: bool = False
    decisions: int = 1
    """In one row, as seen last."""


def _rows_of(metric: Any) -> _Rows | None:
    keras = tf_keras.metrics
    if isinstance(metric, tf_keras.losses.Loss):
        return _of_function("mean", metric.call)
    if isinstance(metric, keras.MeanMetricWrapper):
        function, options = metric._fn, metric._fn_kwargs  # noqa: SLF001 - as update_state calls it

        def values(targets: Any, outputs: Any) -> Any:
            wanted, given = (tf.cast(it, tf.float32) for it in (targets, outputs))
            given, wanted = losses_utils.squeeze_or_expand_dimensions(given, wanted)
            return function(wanted, given, **options)

        found = _of_function("mean", values)
        found.can_be_proportion = "accuracy" in metric.name
        return found
    if isinstance(metric, keras.RootMeanSquaredError):
        return _of_function("root", _squares)
    if isinstance(metric, keras.Precision | keras.Recall):
        return _Rows("ratio", _counted(metric))
    if isinstance(metric, keras.AUC):
        return _Rows("area", _above(metric))
    return None


def _of_function(kind: Kind, function: Callable[[Any, Any], Any]) -> _Rows:
    found = _Rows(kind, lambda *_: np.empty((0, 1)))

    def rows(targets: Array, outputs: Array) -> Numbers:
        values = np.asarray(function(targets, outputs), np.float64).reshape(len(outputs), -1)
        found.decisions = values.shape[1]
        return values.mean(axis=1, keepdims=True)

    found.rows = rows
    return found


def _squares(targets: Any, outputs: Any) -> Any:
    wanted, given = (tf.cast(it, tf.float32) for it in (targets, outputs))
    given, wanted = losses_utils.squeeze_or_expand_dimensions(given, wanted)
    return tf.math.squared_difference(given, wanted)


def _flat(targets: Array, outputs: Array) -> tuple[Numbers, Numbers]:
    rows = len(outputs)
    wanted = np.asarray(targets, np.float64).reshape(rows, -1)
    return wanted, np.asarray(outputs, np.float64).reshape(rows, -1)


def _counted(metric: Any) -> Callable[[Array, Array], Numbers]:
    """True positives, and what is divided by: all that was found, or all that is there."""
    threshold = float(np.ravel(metric.thresholds)[0])

    def rows(targets: Array, outputs: Array) -> Numbers:
        wanted, given = _flat(targets, outputs)
        is_true, is_found = wanted > 0.5, given > threshold
        whole = is_found if isinstance(metric, tf_keras.metrics.Precision) else is_true
        return np.stack([(is_true & is_found).sum(axis=1), whole.sum(axis=1)], axis=1).astype(
            np.float64
        )

    return rows


def _above(metric: Any) -> Callable[[Array, Array], Numbers]:
    """True and false positives at each threshold."""
    thresholds = np.asarray(metric.thresholds, np.float64)
    logits = bool(metric._from_logits)  # noqa: SLF001 - there is no other name for it

    def rows(targets: Array, outputs: Array) -> Numbers:
        wanted, given = _flat(targets, outputs)
        if logits:
            given = 1 / (1 + np.exp(-given))
        # So many thresholds are below the value.
        passed = np.searchsorted(thresholds, given.astype(np.float32), side="left")
        count, width = len(given), len(thresholds) + 1
        places = passed + np.arange(count)[:, None] * width
        found = []
        for mask in (wanted > 0.5, wanted <= 0.5):
            cells = np.bincount(places[mask], minlength=count * width).reshape(count, width)
            found.append(cells[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])
        return np.concatenate(found, axis=1).astype(np.float64)

    return rows
