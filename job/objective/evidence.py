"""What the data say of an output: how its targets are written, and what the outputs are.

Targets are class indices, one-hot rows, 0 and 1, or numbers. The baseline's outputs on some rows
check what its graph says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from job.result.specs import TensorSpec, fits

Array = NDArray[np.generic]
# Targets are examined in parts of this many bytes.
PART_BYTES = 1 << 26
# By how much a sum of targets, or an output, may be off and still count as exact.
NEARLY = 1e-3
# The error of float16 when the values of a row are summed.
FLOAT16_ROUNDING = 0.01


@dataclass(frozen=True)
class Targets:
    """The targets of one output, in all rows."""

    output: TensorSpec
    sizes: tuple[int, ...]
    """Their shape, without the rows."""
    low: float
    high: float
    is_whole: bool
    is_two_valued: bool
    """Whether each is the lowest or the highest."""
    low_sum: float
    high_sum: float
    """Of the last axis."""

    @property
    def units(self) -> int:
        """The output's values along its last axis."""
        shape = self.output.shape
        return (shape[-1] if shape else 1) or (self.sizes[-1] if self.has_values else 1) or 1

    @cached_property
    def has_indices(self) -> bool:
        """Whether there is one target for each of the output's last axes."""
        shape = self.output.shape
        there = fits(shape[:-1], self.sizes) or fits((*shape[:-1], 1), self.sizes)
        return there and (shape[-1] if shape else 1) != 1

    @cached_property
    def has_values(self) -> bool:
        """Whether there is one target for each of the output's values."""
        shape = self.output.shape
        return fits(shape, self.sizes) or fits(shape, (*self.sizes, 1))

    @property
    def is_binary(self) -> bool:
        """Whether they are 0 and 1, and nothing else."""
        return self.is_whole and self.low >= 0 and self.high <= 1

    @property
    def is_signs(self) -> bool:
        """Whether they are -1 and 1, and nothing else."""
        return self.is_two_valued and (self.low, self.high) == (-1, 1)

    @property
    def is_unit(self) -> bool:
        """Whether they are all in 0..1."""
        return self.low >= 0 and self.high <= 1

    @property
    def has_distributions(self) -> bool:
        """Whether each row is in 0..1 and sums to 1 along the last axis."""
        alike = abs(self.low_sum - 1) < NEARLY and abs(self.high_sum - 1) < NEARLY
        return self.has_values and self.units > 1 and self.is_unit and alike

    @property
    def is_smoothed(self) -> bool:
        """Whether they are 0 and 1 with label smoothing: two values that sum to 1."""
        both = self.is_two_valued and self.low != self.high
        return both and self.is_unit and abs(self.low + self.high - 1) < NEARLY

    @property
    def text(self) -> str:
        """A description: "whole numbers from 0 to 9"."""
        kind = "whole numbers" if self.is_whole else "fractions"
        if self.is_two_valued and self.low != self.high:
            return f"{self.low:g} and {self.high:g}"
        return f"{kind} from {self.low:.4g} to {self.high:.4g}"


def describe(output: TensorSpec, targets: Array) -> Targets:
    """Describe the targets of all rows.

    Args:
        output: The output that they are for.
        targets: (rows, ...); values that are not finite are refused later.
    """
    low, high = float(targets.min()), float(targets.max())
    is_whole = is_two_valued = True
    low_sum, high_sum = np.inf, -np.inf
    step = max(1, PART_BYTES // max(1, targets[:1].nbytes))
    for start in range(0, len(targets), step):
        part = targets[start : start + step]
        is_float = part.dtype.kind == "f"
        is_whole = is_whole and not (is_float and bool((part != np.rint(part)).any()))
        ends = (part == targets.dtype.type(low)) | (part == targets.dtype.type(high))
        is_two_valued = is_two_valued and bool(ends.all())
        sums = part.sum(axis=-1, dtype=np.float64) if part.ndim > 1 else part
        low_sum = min(low_sum, float(sums.min()))
        high_sum = max(high_sum, float(sums.max()))
    return Targets(
        output=output,
        sizes=targets.shape[1:],
        low=low,
        high=high,
        is_whole=is_whole,
        is_two_valued=is_two_valued,
        low_sum=low_sum,
        high_sum=high_sum,
    )


@dataclass(frozen=True)
class Evidence:
    """An output on some rows of the training data."""

    rows: int
    low: float
    high: float
    sums_to_one: bool
    """Whether the last axis has several values, which sum to one in every row."""
    logs_sum_to_one: bool
    """The same for their exponentials."""
    answers: NDArray[np.floating]
    """(rows, ...)"""
    targets: NDArray[np.generic]
    """The targets of the same rows."""

    @property
    def in_unit(self) -> bool:
        """Whether all values are in 0..1."""
        return self.low >= -NEARLY and self.high <= 1 + NEARLY

    @property
    def text(self) -> str:
        """A part of a sentence: "its outputs ..."."""
        sums = " and sum up to 1 in each row" if self.in_unit and self.sums_to_one else ""
        return f"its outputs for {self.rows} rows go from {self.low:.3g} to {self.high:.3g}{sums}"


def look(answers: NDArray[np.floating], targets: NDArray[np.generic]) -> Evidence | None:
    """Examine an output.

    Args:
        answers: (rows, ...), the model's outputs.
        targets: (rows, ...) of the same rows.

    Returns:
        None where there are no rows, or values that are not finite (those are refused when the
        baseline is measured).
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
    return bool((np.abs(sums - 1) < FLOAT16_ROUNDING).all())
