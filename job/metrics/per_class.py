"""Figures of each class, which a mean over all rows hides: rows, recall and precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.gates import GateConfig, MinClassRecallGate
from job.manifest.keras_names import BINARY, HINGES, ROWS_OF_CLASSES
from job.metrics.usefulness import classes_of
from job.objective.last_axis import LastAxis
from job.objective.losses import Objective
from job.result.figures import ClassResult
from job.result.result import ArtifactResult

Array = NDArray[Any]
# How many targets are counted at a time.
PART = 1 << 22
# How many classes of an output are listed: those with the lowest recall.
LISTED = 1000


@dataclass(frozen=True)
class Labels:
    """How an output's targets name classes."""

    kind: str
    """``indices``, ``rows`` (one-hot, or probabilities), ``binary`` (0 and 1, or -1 and 1),
    ``several`` (multi-label: the same for each of several classes), ``unclear`` (that or a mask of
    positions) or ``none`` (a regression)."""
    classes: int = 0

    @classmethod
    def of(cls, loss: str, units: int, holds: LastAxis = "classes") -> Labels:
        """Those of an output with this loss, and this size and content of its last axis."""
        if loss == "sparse_categorical_crossentropy":
            return cls("indices", units)
        if loss in ROWS_OF_CLASSES:
            return cls("rows", units)
        if loss in (*BINARY, *HINGES):
            if units <= 1 or holds == "positions":
                return cls("binary", 2)
            return cls("several", units) if holds == "classes" else cls("unclear")
        return cls("none")

    def indices(self, targets: Array) -> NDArray[np.int64]:
        """The class of each target, (rows, ...); only for ``indices``, ``rows`` and ``binary``."""
        if self.kind == "rows":
            return np.asarray(targets.argmax(axis=-1), np.int64)
        found = (targets > 0.5) if self.kind == "binary" else targets
        return np.asarray(found).astype(np.int64)

    def counts(self, targets: Array) -> NDArray[np.int64]:
        """How often each class occurs: (classes,)."""
        found = np.zeros(self.classes, np.int64)
        rows = max(1, PART // max(1, targets[:1].size))
        for start in range(0, len(targets), rows):  # as one array, 64-bit indices fill memory
            part = targets[start : start + rows]
            if self.kind == "several":
                found += (part > 0.5).reshape(-1, self.classes).sum(axis=0)
            else:
                found += np.bincount(self.indices(part).ravel(), minlength=self.classes)
        return found

    def strata(self, targets: Array) -> list[NDArray[np.int64]]:
        """The keys, each (rows,), to stratify a sample by; none where a row has more than one class
        of an output, as in segmentation.
        """
        if self.kind in ("none", "unclear"):
            return []
        if self.kind == "several":
            if targets.ndim != 2:
                return []
            positive = (targets > 0.5).astype(np.int64)
            rare_first = np.argsort(positive.sum(axis=0), kind="stable")
            return [positive[:, column] for column in rare_first]
        one_for_each = self.classes if self.kind == "rows" else 1
        is_alone = targets.size == len(targets) * one_for_each
        return [self.indices(targets).ravel()] if is_alone else []


class ClassCounts:
    """Counts for one output, batch by batch.

    Args:
        objective: The output's; its loss determines how targets name classes.
        units: The size of the output's last axis.
    """

    def __init__(self, objective: Objective, units: int) -> None:
        self.labels = Labels.of(objective.loss_name, units, objective.last_axis)
        by_sign = objective.from_logits or objective.loss_name in HINGES
        self._threshold = 0.0 if by_sign else 0.5
        size = self.labels.classes
        self.rows, self.predicted, self.right = (np.zeros(size, np.int64) for _ in range(3))

    def add(self, targets: Array, outputs: NDArray[np.floating]) -> None:
        """Count a batch: targets (rows, ...), outputs (rows, ..., units)."""
        labels, size = self.labels, self.labels.classes
        if labels.kind in ("none", "unclear"):
            return
        if labels.kind == "several":
            positive = (targets > 0.5).reshape(-1, size)
            found = (outputs > self._threshold).reshape(-1, size)
            self.rows += positive.sum(axis=0)
            self.predicted += found.sum(axis=0)
            self.right += (positive & found).sum(axis=0)
            return
        wanted = labels.indices(targets).ravel()
        chosen = outputs > self._threshold if labels.kind == "binary" else outputs.argmax(axis=-1)
        given = np.asarray(chosen).ravel().astype(np.int64)
        self.rows += np.bincount(wanted, minlength=size)
        self.predicted += np.bincount(given, minlength=size)
        self.right += np.bincount(wanted[wanted == given], minlength=size)


def listed(
    counts: Mapping[str, ClassCounts], named: Collection[int] = ()
) -> tuple[dict[str, dict[str, ClassResult]], dict[str, int]]:
    """For the result: output -> class -> its figures, and how many classes are not listed.

    Args:
        counts: By output.
        named: Classes that are always listed.
    """
    found: dict[str, dict[str, ClassResult]] = {}
    cut: dict[str, int] = {}
    for output, count in counts.items():
        size = count.labels.classes
        if not size:
            continue
        recall = np.where(count.rows > 0, count.right / np.maximum(count.rows, 1), 2.0)
        worst = np.argsort(recall, kind="stable")[:LISTED].tolist()
        shown = sorted({*worst, *(it for it in named if it < size)})
        found[output] = {str(it): _figures(count, it) for it in shown}
        if len(shown) < size:
            cut[output] = size - len(shown)
    return found, cut


def _figures(count: ClassCounts, index: int) -> ClassResult:
    rows, predicted, right = (int(it[index]) for it in (count.rows, count.predicted, count.right))
    return ClassResult(
        recall=right / rows if rows else None,
        precision=right / predicted if predicted else None,
        support=rows,
    )


def check_gates(
    gates: Sequence[GateConfig], baseline: ArtifactResult, outputs: Sequence[str]
) -> None:
    """Check, before training, that the gates on classes can be judged.

    Raises:
        InputError: Where a gate is for an output without classes, or a class without test rows.
    """
    for index, gate in enumerate(gates):
        if not isinstance(gate, MinClassRecallGate):
            continue
        where = f"gates.{index}"
        if gate.output is not None and gate.output not in outputs:
            raise InputError(
                f"The model has no output {gate.output}; its outputs: {', '.join(outputs)}.",
                where=f"{where}.output",
                hint="Name one of these.",
            )
        classes = classes_of(gate, baseline)
        if not classes:
            raise InputError(
                f"{gate.output or 'The model'} has no classes, so there is no recall of one.",
                where=where,
                hint="Use a gate on a metric: max_drop or min_value.",
            )
        if gate.class_index is None and not any(it.support for it in classes.values()):
            raise InputError(
                "No class has test rows, so there is no recall of one.",
                where=where,
                hint="Add rows to the test split, or use a gate on a metric.",
            )
        asked = str(gate.class_index)
        named = [it for name, it in classes.items() if name.rpartition("/")[2] == asked]
        if gate.class_index is not None and not any(it.support for it in named):
            raise InputError(
                f"The class {asked} has no test rows, so it has no recall."
                if named
                else f"There is no class {asked}: none of the model's classes has that index.",
                where=f"{where}.class_index",
                hint="Name a class that the test rows have, or add rows of it.",
            )
