"""Models that answer at random, measured several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from job.metrics.quality import Quality

Advance = Callable[[int, int], None]


def mean_of_passes(once: Callable[[Advance], Quality], passes: int, advance: Advance) -> Quality:
    """Measure several times.

    Args:
        once: Measures all rows; is given what it tells how many rows are done, of how many.
        passes: How often.
        advance: Is told how many rows of all passes are done.

    Returns:
        The mean of each metric over the passes, and the outputs' means, for the drift.
    """
    found: list[Quality] = []
    for index in range(passes):

        def progress(done: int, rows: int, before: int = index) -> None:
            advance(before * rows + done, passes * rows)

        found.append(once(progress))
    if passes == 1:
        return found[0]
    metrics = {
        name: float(np.mean([quality.metrics[name] for quality in found]))
        for name in found[0].metrics
    }
    outputs = tuple(
        np.asarray(np.mean(several, axis=0, dtype=np.float64), np.float32)
        for several in zip(*(quality.outputs for quality in found), strict=True)
    )
    return replace(found[0], metrics=metrics, outputs=outputs)
