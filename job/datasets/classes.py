"""The classes that targets name: of each row, and how many rows a split has of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from job.datasets.data import Array, Dataset, Split

INDICES = "sparse_categorical_crossentropy"
# The losses whose targets are a row of one number for each class.
ROWS_OF_CLASSES = ("categorical_crossentropy", "kullback_leibler_divergence", "kl_divergence")
BINARY = "binary_crossentropy"
# So many classes are named in a warning.
NAMED = 10


@dataclass(frozen=True)
class Labels:
    """How an output's targets name classes."""

    kind: str
    """``indices``, ``rows`` (one-hot, or probabilities), ``binary`` (0 and 1), ``several`` (0 and 1
    for each of several classes that exclude each other not), or ``none`` (a regression)."""
    classes: int = 0

    @classmethod
    def of(cls, loss: str, units: int) -> Labels:
        """By the output's loss and the size of its last axis."""
        if loss == INDICES:
            return cls("indices", units)
        if loss in ROWS_OF_CLASSES:
            return cls("rows", units)
        if loss == BINARY:
            return cls("several", units) if units > 1 else cls("binary", 2)
        return cls("none")

    def indices(self, targets: Array) -> NDArray[np.int64]:
        """The class of each target: (rows, ...) of ``indices``, ``rows`` and ``binary`` alone."""
        if self.kind == "rows":
            return targets.argmax(axis=-1).astype(np.int64)
        found = (targets > 0.5) if self.kind == "binary" else targets
        return np.asarray(found).astype(np.int64)

    def counts(self, targets: Array) -> NDArray[np.int64]:
        """How often each class is there: (classes,)."""
        if self.kind == "several":
            positive = (targets > 0.5).reshape(-1, self.classes)
            return positive.sum(axis=0, dtype=np.int64)
        flat = self.indices(targets).ravel()
        return np.bincount(flat, minlength=self.classes).astype(np.int64)

    def strata(self, targets: Array) -> list[NDArray[np.int64]]:
        """The keys, each (rows,), that a sample should have in the shares of the whole; none where
        a row has more than one class of an output, as a picture has whose pixels have classes.
        """
        if self.kind == "none":
            return []
        if self.kind == "several":
            if targets.ndim != 2:  # noqa: PLR2004 - rows and classes
                return []
            positive = (targets > 0.5).astype(np.int64)
            rare_first = np.argsort(positive.sum(axis=0), kind="stable")
            return [positive[:, column] for column in rare_first]
        indices = self.indices(targets)
        return [indices.ravel()] if indices.size == len(targets) else []


def missing_classes(
    dataset: Dataset, labels: Sequence[Labels], names: Sequence[str]
) -> list[str]:
    """Warnings where a split lacks classes that another has.

    Args:
        dataset: All splits.
        labels: Of each output, how its targets name classes.
        names: The outputs' names.
    """
    splits: dict[str, Split | None] = {
        "training": dataset.train,
        "held-out": dataset.validation,
        "test": dataset.test,
    }
    there = {name: split for name, split in splits.items() if split is not None}
    warnings = []
    for index, (label, output) in enumerate(zip(labels, names, strict=True)):
        if label.kind == "none":
            continue
        has = {name: label.counts(split.targets[index]) > 0 for name, split in there.items()}
        anywhere = np.any(list(has.values()), axis=0)
        of = f" of the output {output}" if len(names) > 1 else ""
        for name, found in has.items():
            lacking = np.flatnonzero(anywhere & ~found)
            if lacking.size:
                others = [
                    other for other in has if other != name and bool(has[other][lacking].any())
                ]
                warnings.append(
                    f"The {name} rows have none of {_listed(lacking)}{of}, which the "
                    f"{' and '.join(others)} rows have."
                )
    return warnings


def _listed(classes: NDArray[np.int64]) -> str:
    shown = ", ".join(str(it) for it in classes[:NAMED])
    more = f" and {classes.size - NAMED} more" if classes.size > NAMED else ""
    return f"the class {shown}" if classes.size == 1 else f"the classes {shown}{more}"
