"""Confidence intervals: worked examples, and how often they hold the true value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from job.metrics import interval
from job.metrics.interval import Metric, Numbers, grouped, paired_proportions, wilson
from job.result.figures import IntervalResult

DRAWN = 2000


def bootstrap(sums: Numbers, metric: Metric, confidence: float = 0.95) -> IntervalResult:
    """That of rows which tell something."""
    found = interval.bootstrap(sums, metric, confidence)
    assert found is not None
    return found


Simulated = Callable[[np.random.Generator], tuple[IntervalResult, float]]


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_values(
    successes: int, rows: int, low: float, high: float
) -> None:
    """To four digits."""
    found = wilson(successes, rows)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    mirrored = wilson(rows - successes, rows)
    assert mirrored.low == pytest.approx(1 - found.high)


def _proportion(random: np.random.Generator) -> tuple[IntervalResult, float]:
    return wilson(int(random.binomial(1000, 0.93)), 1000), 0.93


def _paired(random: np.random.Generator) -> tuple[IntervalResult, float]:
    gained, lost, _ = random.multinomial(1000, [0.02, 0.05, 0.93])
    return paired_proportions(int(gained), int(lost), 1000), -0.03


def _rarely_apart(random: np.random.Generator) -> tuple[IntervalResult, float]:
    gained, lost, _ = random.multinomial(4000, [0.004, 0.006, 0.99])
    return paired_proportions(int(gained), int(lost), 4000), -0.002


def _mean(random: np.random.Generator) -> tuple[IntervalResult, float]:
    errors = np.abs(random.normal(size=(200, 1)))
    return bootstrap(grouped(errors), lambda means: means[:, 0]), float(np.sqrt(2 / np.pi))


def _root(random: np.random.Generator) -> tuple[IntervalResult, float]:
    squares = random.normal(size=(200, 1)) ** 2
    return bootstrap(grouped(squares), lambda means: np.sqrt(means[:, 0])), 1.0


def _precision(random: np.random.Generator) -> tuple[IntervalResult, float]:
    taken = random.random(200) < 0.4
    right = taken & (random.random(200) < 0.8)
    rows = np.stack([right, taken], axis=1).astype(np.float64)
    return bootstrap(grouped(rows), lambda means: means[:, 0] / means[:, 1]), 0.8


def _paired_mean(random: np.random.Generator) -> tuple[IntervalResult, float]:
    before = random.gamma(2.0, size=(200, 1))
    after = before + random.normal(0.1, 0.5, size=(200, 1))
    return bootstrap(grouped(after - before), lambda means: means[:, 0]), 0.1


@pytest.mark.parametrize(
    "simulate", [_proportion, _paired, _rarely_apart, _mean, _root, _precision, _paired_mean]
)
def test_an_interval_holds_the_true_value_as_often_as_it_says(simulate: Simulated) -> None:
    """In 93 to 97 of 100 seeded draws."""
    random = np.random.default_rng(11)
    held = 0
    for _ in range(DRAWN):
        found, true = simulate(random)
        held += found.low <= true <= found.high
    assert 0.93 <= held / DRAWN <= 0.97


def test_a_bootstrap_is_the_same_for_the_same_rows() -> None:
    """The seed is fixed, so a result has the same bytes each time."""
    rows = np.random.default_rng(3).normal(size=(200, 1))
    sums = grouped(rows)
    first, again = (bootstrap(sums, lambda means: means[:, 0]) for _ in range(2))
    assert first == again
    assert first.low < rows.mean() < first.high
    assert bootstrap(sums, lambda means: means[:, 0], 0.5).low > first.low


def test_no_row_that_differs_still_leaves_doubt() -> None:
    """Of 100 rows on which both are right or wrong together, a difference of some points is
    possible; of 10,000 it is not.
    """
    assert paired_proportions(0, 0, 100).low < -0.01
    assert paired_proportions(0, 0, 10_000).low > -0.001


def test_very_many_rows_are_drawn_in_groups_and_give_the_same_interval() -> None:
    """Also where they are sorted, which grouping by neighbours would take for spread."""
    rows = np.sort(np.random.default_rng(3).normal(size=(60_000, 1)), axis=0)
    assert len(grouped(rows)) == 10_000
    found = bootstrap(grouped(rows), lambda means: means[:, 0])
    half = 1.96 * rows.std() / np.sqrt(len(rows))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_rows_that_tell_nothing_have_no_interval() -> None:
    """Fewer than thirty, or the same in every draw: a bound would claim what is not known."""
    few = np.random.default_rng(3).normal(size=(29, 1))
    assert interval.bootstrap(grouped(few), lambda means: means[:, 0]) is None
    assert interval.bootstrap(grouped(np.ones((50, 1))), lambda means: means[:, 0]) is None
