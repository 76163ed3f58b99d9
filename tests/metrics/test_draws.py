"""draws: metrics of random answers are means over passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from job.metrics.draws import mean_of_passes
from job.metrics.quality import Quality


def test_metrics_and_outputs_are_the_means_of_the_passes() -> None:
    """And progress counts the rows of all passes."""
    told: list[tuple[int, int]] = []
    values = iter([1.0, 2.0, 6.0])

    def once(advance: Callable[[int, int], None]) -> Quality:
        value = next(values)
        advance(10, 10)
        return Quality({"loss": value}, (np.full((2, 1), value, np.float32),))

    found = mean_of_passes(once, 3, lambda *progress: told.append(progress))
    assert found.metrics == {"loss": 3.0}
    np.testing.assert_array_equal(found.outputs[0], np.full((2, 1), 3, np.float32))
    assert told == [(10, 30), (20, 30), (30, 30)]
