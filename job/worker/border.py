"""Where files of a family begin to fail: the next density at which that is looked for.

A density is the share of the weights that are not zero. Beyond 1 it is 1 and the share of those in
layers of more bits; layers are whole, so there are only some such densities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from job.result.search import TrialResult

# The next trial is at least this share of the way from either side of the border.
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Densities:
    """Those that a family may have."""

    low: float
    high: float
    steps: Sequence[float] = ()
    """All that there are beyond 1, rising."""

    def within(self, density: float) -> float:
        """A density, or the limit that it is beyond."""
        return min(self.high, max(self.low, density))

    def nearest(self, density: float, low: float = 0.0, high: float = math.inf) -> float | None:
        """The one that is nearest to a density; beyond 1 that may be another one, or None, where
        there is none between two limits.
        """
        density = self.within(density)
        if density <= 1:
            return density
        found = [it for it in (1.0, *self.steps) if low < it < high and not same(it, low, high)]
        return min(found, key=lambda step: abs(step - density), default=None)


@dataclass(frozen=True)
class Pace:
    """How closely a border is looked for."""

    stride: float
    """With nothing on the other side of the border, the density is changed by this factor."""
    near: float
    """Where the densities on both sides differ by less than this factor, the border is known."""
    most: int
    """So many trials there may be, once one passes."""


def next_density(
    trials: Sequence[TrialResult], densities: Densities, start: float, pace: Pace
) -> float | None:
    """The next density at which the border of a family is looked for.

    Args:
        trials: Those of the family, with one seed and as many epochs.
        densities: Those of the family.
        start: Where to begin.
        pace: How closely it is looked for.
    """
    if not trials:
        return densities.nearest(start)
    passing = sparsest_passing(trials)
    if passing is None:
        densest = max(it.settings.density for it in trials)
        return (
            None
            if same(densest, densities.high)
            else densities.nearest(_beside(densest, pace.stride), low=densest)
        )
    if len(trials) >= pace.most:
        return None
    beyond = [it for it in trials if it.settings.density < passing and not it.passed]
    if not beyond:
        return (
            None
            if same(passing, densities.low)
            else densities.nearest(_beside(passing, 1 / pace.stride), high=passing)
        )
    failing = max(beyond, key=lambda trial: trial.settings.density)
    return between(trials, passing, failing, densities, pace.near)


def _beside(density: float, factor: float) -> float:
    """A density at some distance, but not beyond 1 from either side: all weights of equal width."""
    found = density * factor
    return 1.0 if min(density, found) < 1 < max(density, found) else found


def between(
    trials: Sequence[TrialResult],
    passing: float,
    failing: TrialResult,
    densities: Densities,
    near: float,
) -> float | None:
    """A density between both sides of the border; None where they are near each other."""
    beyond = failing.settings.density
    if passing / beyond <= near:
        return None
    inside = max(it.margin for it in trials if it.passed and same(it.settings.density, passing))
    total = inside - failing.margin
    share = inside / total if total > 0 else 0.5
    share = min(1 - LEAST_SHARE, max(LEAST_SHARE, share))
    return densities.nearest(passing * math.pow(beyond / passing, share), beyond, passing)


def sparsest_passing(trials: Sequence[TrialResult]) -> float | None:
    """The lowest density that passes."""
    return min((it.settings.density for it in trials if it.passed), default=None)


def same(a: float, *others: float) -> bool:
    """Whether one is any of the others: settings are rounded."""
    return any(math.isclose(a, it, rel_tol=1e-3, abs_tol=1e-5) for it in others)
