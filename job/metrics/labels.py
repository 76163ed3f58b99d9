"""How targets name classes, and how often each is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.manifest.keras_names import BINARY, HINGES, ONE_HOT

Array = NDArray[Any]
INDICES = "sparse_categorical_crossentropy"
# The losses whose targets are a row of one number for each class.
ROWS_OF_CLASSES = (*ONE_HOT, "kl_divergence", "categorical_hinge")
# Targets are counted so many at a time.
PART = 1 << 22


@dataclass(frozen=True)
class Labels:
    """How an output's targets name classes."""

    kind: str
    """``indices``, ``rows`` (one-hot, or probabilities), ``binary`` (0 and 1, or -1 and 1),
    ``several`` (the same for each of several classes, of which a row may have any), or ``none`` (a
    regression)."""
    classes: int = 0

    @classmethod
    def of(cls, loss: str, units: int) -> Labels:
        """By the output's loss and the size of its last axis."""
        if loss == INDICES:
            return cls("indices", units)
        if loss in ROWS_OF_CLASSES:
            return cls("rows", units)
        if loss in (*BINARY, *HINGES):
            return cls("several", units) if units > 1 else cls("binary", 2)
        return cls("none")

    def indices(self, targets: Array) -> NDArray[np.int64]:
        """The class of each target: (rows, ...) of ``indices``, ``rows`` and ``binary`` alone."""
        if self.kind == "rows":
            return np.asarray(targets.argmax(axis=-1), np.int64)
        found = (targets > 0.5) if self.kind == "binary" else targets
        return np.asarray(found).astype(np.int64)

    def counts(self, targets: Array) -> NDArray[np.int64]:
        """How often each class is there: (classes,)."""
        found = np.zeros(self.classes, np.int64)
        rows = max(1, PART // max(1, targets[:1].size))
        for start in range(0, len(targets), rows):  # whole, indices of 64 bits would fill memory
            part = targets[start : start + rows]
            if self.kind == "several":
                found += (part > 0.5).reshape(-1, self.classes).sum(axis=0)
            else:
                found += np.bincount(self.indices(part).ravel(), minlength=self.classes)
        return found

    def strata(self, targets: Array) -> list[NDArray[np.int64]]:
        """The keys, each (rows,), that a sample should have in the shares of the whole; none where
        a row has more than one class of an output, as a picture has whose pixels have classes.
        """
        if self.kind == "none":
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
