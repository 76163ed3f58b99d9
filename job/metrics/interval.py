"""Confidence intervals of metrics, and of their differences between two files on the same rows.

Rows are what is sampled: several decisions in one row (the pixels of a mask, the steps of a
sequence) depend on each other, so a row with its decisions is drawn as a whole.

- A proportion of rows has Wilson's score interval (E. B. Wilson, "Probable inference, the law of
  succession, and statistical inference", 1927).
- The difference of two proportions on the same rows has the adjusted Wald interval for paired data
  (D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
  proportions based on paired data", 2012), which also holds where hardly any row differs.
- All else has a seeded percentile bootstrap (B. Efron, "Bootstrap methods: another look at the
  jackknife", 1979), where there are 30 rows and they differ. More than 10,000 rows are put into
  that many groups at random, and groups are drawn, which gives the same spread and takes bounded
  time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from job.manifest.gates import CONFIDENCE
from job.result.figures import IntervalResult

Numbers = NDArray[np.float64]
# (draws, k) means over rows of k numbers -> (draws,) values of the metric
Metric = Callable[[Numbers], Numbers]

DRAWS = 1000
# With fewer rows a bootstrap knows too little of their spread.
MIN_ROWS = 30
# Values that differ by less are the same but for rounding.
SAME = 1e-12
MAX_GROUPS = 10_000
SEED = 7


def wilson(successes: float, rows: int, confidence: float = CONFIDENCE) -> IntervalResult:
    """Wilson's score interval of a proportion: ``successes`` of ``rows``."""
    z = _quantile(confidence)
    share = successes / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    half /= 1 + z * z / rows
    return IntervalResult(
        low=0.0 if successes == 0 else max(0.0, middle - half),
        high=1.0 if successes == rows else min(1.0, middle + half),
        confidence=confidence,
        method="wilson",
    )


def paired_proportions(
    gained: int, lost: int, rows: int, confidence: float = CONFIDENCE
) -> IntervalResult:
    """Bonett and Price's interval of the difference of two proportions on the same rows.

    Args:
        gained: Rows that only the second of the two has right.
        lost: Rows that only the first has right.
        rows: All rows.
        confidence: The level.

    Returns:
        The interval of the second proportion minus the first.
    """
    z = _quantile(confidence)
    up, down = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    return IntervalResult(
        low=max(-1.0, up - down - half),
        high=min(1.0, up - down + half),
        confidence=confidence,
        method="paired_wald",
    )


def group_of(rows: int) -> NDArray[np.int64]:
    """The group of each row: the same for the same number of rows; one row each for up to 10,000.

    Rows are spread at random, since data are often sorted.
    """
    order = np.random.default_rng([SEED, rows]).permutation(rows)
    return order % min(rows, MAX_GROUPS)


def grouped(numbers: NDArray[np.generic]) -> Numbers:
    """(rows, k) numbers -> (groups, k + 1) sums over the rows of each group; the last column is
    their number.
    """
    rows = len(numbers)
    of = group_of(rows)
    sums = np.zeros((int(of.max()) + 1, numbers.shape[1] + 1))
    np.add.at(sums, of, np.concatenate([numbers, np.ones((rows, 1))], axis=1))
    return sums


def bootstrap(
    sums: Numbers, metric: Metric, confidence: float = CONFIDENCE
) -> IntervalResult | None:
    """The percentile bootstrap of a metric that follows from means over rows.

    Args:
        sums: (groups, k + 1) sums of k numbers over the rows of each group, and their number; see
            ``grouped``.
        metric: Computes the metric from the means of the k numbers; values that are not finite, of
            draws for which it is not defined, are left out.
        confidence: The level.

    Returns:
        None where the rows do not tell: fewer than 30, or the same in every draw.
    """
    if sums[:, -1].sum() < MIN_ROWS:
        return None
    counts = _counts(len(sums))
    drawn = np.concatenate([part.astype(np.float64) @ sums for part in np.array_split(counts, 10)])
    values = metric(drawn[:, :-1] / drawn[:, -1:])
    values = values[np.isfinite(values)]
    if not values.size or np.ptp(values) <= SAME * max(1.0, float(np.abs(values).max())):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return IntervalResult(
        low=float(low), high=float(high), confidence=confidence, method="bootstrap"
    )


@lru_cache(maxsize=2)
def _counts(groups: int) -> NDArray[np.uint8]:
    """How often each group is drawn: (draws, groups)."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, groups, (DRAWS, groups))
    return np.stack([np.bincount(row, minlength=groups) for row in drawn]).astype(np.uint8)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
