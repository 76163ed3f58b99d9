"""How far an output moved from one stage to the next."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from job.artifact import OutputDrift

Output = NDArray[np.floating]

# A row counts as moved from here on, in shares of the spread.
MOVED = 1e-3
# The same for outputs that hardly differ from row to row: in shares of their size.
RELATIVE = 1e-5
ABSOLUTE = 1e-6


def output_drift(before: Output, after: Output) -> OutputDrift:
    """How far one output moved, in its own unit.

    Args:
        before: (rows, ...) of the stage before.
        after: The same rows' output now.
    """
    was, now = before.astype(np.float64), after.astype(np.float64)
    apart = np.abs(now - was)
    spread, spread_after = _spread(was), _spread(now)
    bar = MOVED * spread + RELATIVE * float(np.abs(was).max(initial=0.0)) + ABSOLUTE
    rows = apart.reshape(len(apart), -1).max(axis=1, initial=0.0)
    return OutputDrift(
        max_abs=float(apart.max(initial=0.0)),
        mean_abs=float(apart.mean()) if apart.size else 0.0,
        rms=float(np.sqrt(np.mean(apart**2))) if apart.size else 0.0,
        spread=spread,
        spread_after=spread_after,
        correlation=_correlation(was, now),
        largest=float(np.abs(was).max(initial=0.0)),
        moved_rows=int((rows > bar).sum()),
    )


def _spread(values: Output) -> float:
    """How much rows differ from each other: the standard deviation of each position, in all."""
    return float(np.sqrt(np.mean(np.var(values, axis=0)))) if values.size else 0.0


def _correlation(was: Output, now: Output) -> float | None:
    a, b = was - was.mean(axis=0), now - now.mean(axis=0)
    size = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else None
