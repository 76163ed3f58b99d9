"""How targets name classes, and how often each is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
INDICES = "sparse_categorical_crossentropy"
# The losses whose targets are a row of one number for each class.
ROWS_OF_CLASSES = ("categorical_crossentropy", "kullback_leibler_divergence", "kl_divergence")
BINARY = "binary_crossentropy"


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
            return np.asarray(targets.argmax(axis=-1), np.int64)
        found = (targets > 0.5) if self.kind == "binary" else targets
        return np.asarray(found).astype(np.int64)

    def counts(self, targets: Array) -> NDArray[np.int64]:
        """How often each class is there: (classes,)."""
        if self.kind == "several":
            positive = (targets > 0.5).reshape(-1, self.classes)
            return np.asarray(positive.sum(axis=0), np.int64)
        flat = self.indices(targets).ravel()
        return np.bincount(flat, minlength=self.classes).astype(np.int64)

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
        indices = self.indices(targets)
        return [indices.ravel()] if indices.size == len(targets) else []
