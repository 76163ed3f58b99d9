"""The next density at which a border is looked for; beyond 1 there are only some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from job.worker.border import Densities, Pace, next_density
from job.worker.next_trial import Family, trial_settings
from tests.worker.test_next_trial import measured

FAMILY = Family(8)
STRIDE = 2.5
PACE = Pace(STRIDE, 1.01, 9)
ALL = Densities(0.002, 2.0, [1.1, 1.4, 2.0])


def after(*tried: float, border: float, densities: Densities = ALL, most: int = 9) -> float | None:
    """The density after some trials in a world where files pass above a border."""
    settings = [trial_settings(FAMILY, it, 2, 0, is_careful=True) for it in tried]
    trials = [measured(it, number, {8: border}) for number, it in enumerate(settings, 1)]
    return next_density(trials, densities, 1.0, replace(PACE, most=most))


def test_the_first_is_where_it_starts_or_the_nearest_that_there_is() -> None:
    """Below 1 there are all; the highest and the lowest are limits."""
    assert next_density([], ALL, 0.3, PACE) == 0.3
    assert next_density([], ALL, 0.001, PACE) == 0.002
    assert next_density([], ALL, 1.2, PACE) == 1.1
    assert next_density([], ALL, 9, PACE) == 2.0
    assert next_density([], Densities(0.1, 0.7), 1.0, PACE) == 0.7


def test_without_another_side_it_strides() -> None:
    """Up to the limits, where it ends; all weights of equal width are on the way."""
    assert after(0.3, border=0.5) == pytest.approx(0.3 * STRIDE)
    assert after(0.8, border=0.9) == 1.0
    assert after(2.0, border=0.9) == 1.0
    assert after(1.0, border=1.5) == 2.0
    assert after(2.0, border=9) is None
    assert after(0.3, border=0.2) == pytest.approx(0.3 / STRIDE)
    assert after(0.002, border=0.001) is None


def test_no_density_is_tried_twice() -> None:
    """A model of one layer has 1 and 2 alone, and 1.5 is as near to either."""
    one = Densities(0.002, 2.0, [2.0])
    assert after(1.0, border=1.5, densities=one) == 2.0
    assert after(2.0, border=0.9, densities=one) == 1.0
    assert after(1.0, border=0.9, densities=replace(one, low=0.9)) == 0.9
    assert after(1.0, 2.0, border=3, densities=one) is None


def test_between_two_sides_it_takes_what_there_is() -> None:
    """A layer is whole; where there is none between them, the border is known."""
    assert after(1.0, 2.0, border=1.3) in (1.1, 1.4)
    assert after(1.0, 2.0, 1.4, border=1.3) == 1.1
    assert after(1.0, 2.0, 1.4, 1.1, border=1.3) is None
    assert after(0.5, 1.1, border=1.05) in (1.0, pytest.approx(0.87, abs=0.2))
    assert after(1.0, 1.1, border=1.05) is None


def test_so_many_trials_and_no_more() -> None:
    """Once one passes; before that it goes to the limit."""
    assert after(0.2, 0.4, border=0.3, most=2) is None
    assert after(0.2, 0.3, border=0.9, most=2) == pytest.approx(0.3 * STRIDE)
