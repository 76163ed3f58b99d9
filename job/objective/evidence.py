"""What the baseline's outputs are on rows of the data: the check of what its graph says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What float16 loses when the values of a row are summed up.
ROUNDING = 0.01
# How far a value may be out of 0..1 and count as in it.
NEARLY = 1e-3


@dataclass(frozen=True)
class Evidence:
    """An output on some rows of the training data."""

    rows: int
    low: float
    high: float
    sums_to_one: bool
    """Whether the last axis sums up to one everywhere, and has several values."""
    logs_sum_to_one: bool
    """Whether their exponentials do."""
    answers: NDArray[np.floating]
    """(rows, ...)"""
    targets: NDArray[np.generic]
    """Those of the same rows."""

    @property
    def in_unit(self) -> bool:
        """Whether all values are in 0..1."""
        return self.low >= -NEARLY and self.high <= 1 + NEARLY

    @property
    def text(self) -> str:
        """As a part of a sentence: "its outputs ..."."""
        sums = " and sum up to 1 in each row" if self.in_unit and self.sums_to_one else ""
        return f"its outputs for {self.rows} rows go from {self.low:.3g} to {self.high:.3g}{sums}"


def look(answers: NDArray[np.floating], targets: NDArray[np.generic]) -> Evidence | None:
    """Look at an output.

    Args:
        answers: (rows, ...) as the model gave them.
        targets: (rows, ...) of the same rows.

    Returns:
        None where there is nothing to be seen: no rows, or values that are no finite numbers,
        which are refused when the baseline is measured.
    """
    values = answers.astype(np.float64)
    if not values.size or not np.isfinite(values).all():
        return None
    several = values.ndim > 1 and values.shape[-1] > 1
    with np.errstate(over="ignore"):
        log_sums = np.exp(values).sum(axis=-1) if several else np.zeros(1)
    return Evidence(
        rows=len(values),
        low=float(values.min()),
        high=float(values.max()),
        sums_to_one=several and _are_ones(values.sum(axis=-1)),
        logs_sum_to_one=several and float(values.max()) <= NEARLY and _are_ones(log_sums),
        answers=answers,
        targets=targets,
    )


def _are_ones(sums: NDArray[np.floating]) -> bool:
    return bool((np.abs(sums - 1) < ROUNDING).all())
