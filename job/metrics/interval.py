"""Confidence intervals of metrics, and of the difference of two files on the same rows.

Rows are what is sampled: several decisions in one row (the pixels of a mask, the steps of a
sequence) depend on each other, so they count as one. A proportion of rows has Wilson's score
interval (E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
1927). The difference of two proportions on the same rows has the adjusted Wald interval for paired
data (D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
proportions based on paired data", 2012), which holds where few rows differ, too. All else has a
seeded percentile bootstrap of the rows (B. Efron, "Bootstrap methods: another look at the
jackknife", 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from job.artifact import IntervalResult

Numbers = NDArray[np.float64]
# (draws, k) means of each row's k numbers -> (draws,) values of the metric
Metric = Callable[[Numbers], Numbers]

CONFIDENCE = 0.95
DRAWS = 1000
SEED = 7
# Counts of a part of the draws, in memory at once: 8 bytes each.
PART = 1 << 23


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


def bootstrap(
    rows: Numbers, metric: Metric, confidence: float = CONFIDENCE, seed: int = SEED
) -> IntervalResult:
    """The percentile bootstrap of a metric that follows from means over rows.

    Args:
        rows: (rows, k) numbers: a metric that is a mean over rows has one for each row, the root
            of a mean square too, a precision has two.
        metric: Computes the metric from the means of the k numbers.
        confidence: The level.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    count = len(rows)
    means = np.empty((DRAWS, rows.shape[1]))
    step = max(1, PART // max(1, count))
    for start in range(0, DRAWS, step):
        draws = min(step, DRAWS - start)
        drawn = random.integers(0, count, (draws, count))
        drawn += np.arange(draws)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)
        means[start : start + draws] = counts @ rows / count
    tail = (1 - confidence) / 2
    low, high = np.quantile(metric(means), [tail, 1 - tail])
    return IntervalResult(
        low=float(low), high=float(high), confidence=confidence, method="bootstrap"
    )


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
