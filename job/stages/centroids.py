"""The values that the clusters of a kernel start from: tfmot's four ways, in NumPy.

The k-means++ seeding is that of Arthur and Vassilvitskii, "k-means++: the advantages of careful
seeding" (2007): each next value is drawn from the weights with a probability proportional to the
squared distance to the nearest value so far. A few iterations of Lloyd's algorithm follow it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Generator = np.random.Generator

# Iterations of Lloyd's algorithm; in one dimension more change little.
ITERATIONS = 50


def start_values(weights: NDArray[np.floating], count: int, init: str, seed: int) -> Floats:
    """The values that clusters start from.

    Args:
        weights: The weights to cluster, those that are pruned left out; of any shape.
        count: How many values.
        init: One of tfmot's ``CentroidInitialization``, in lower case: a key of ``INITS``.
        seed: Decides what is drawn.

    Returns:
        (count,) in rising order. Where there are fewer distinct weights, it is these, and the
        largest is repeated.
    """
    flat = np.sort(np.asarray(weights, np.float64).ravel())
    distinct = np.unique(flat)
    if distinct.size <= count:
        last = distinct[-1:] if distinct.size else np.zeros(1)
        return np.concatenate([distinct, np.repeat(last, count - distinct.size)])
    return np.sort(INITS[init](flat, count, np.random.default_rng(seed)))


def k_means(flat: Floats, values: Floats, iterations: int = ITERATIONS) -> Floats:
    """Lloyd's algorithm in one dimension.

    Args:
        flat: The weights in rising order.
        values: (n,) in rising order: where it starts.
        iterations: At most so many.

    Returns:
        (n,) in rising order: each is the mean of the weights nearest to it; one that is the nearest
        to none stays.
    """
    sums = np.concatenate([[0.0], np.cumsum(flat)])
    for _ in range(iterations):
        borders = np.searchsorted(flat, (values[1:] + values[:-1]) / 2)
        edges = np.concatenate([[0], borders, [flat.size]])
        sizes = np.diff(edges)
        moved = np.where(sizes > 0, np.diff(sums[edges]) / np.maximum(sizes, 1), values)
        moved.sort()
        if np.array_equal(moved, values):
            break
        values = moved
    return values


def _kmeans_plus_plus(flat: Floats, count: int, random: Generator) -> Floats:
    chosen = [flat[random.integers(flat.size)]]
    far = np.square(flat - chosen[0])
    while len(chosen) < count:
        ends = np.cumsum(far)
        place = int(np.searchsorted(ends, random.random() * ends[-1], side="right"))
        chosen.append(flat[min(place, flat.size - 1)])
        far = np.minimum(far, np.square(flat - chosen[-1]))
    return k_means(flat, np.sort(chosen))


def _linear(flat: Floats, count: int, _: Generator) -> Floats:
    """At equal distances from the smallest to the largest."""
    return np.linspace(flat[0], flat[-1], count)


def _random(flat: Floats, count: int, random: Generator) -> Floats:
    """Uniformly between the smallest and the largest."""
    return random.uniform(flat[0], flat[-1], count)


def _density_based(flat: Floats, count: int, _: Generator) -> Floats:
    """At equal shares of the weights: the middle quantile of each of ``count`` parts."""
    return np.quantile(flat, (np.arange(count) + 0.5) / count)


INITS: dict[str, Callable[[Floats, int, Generator], Floats]] = {
    "kmeans_plus_plus": _kmeans_plus_plus,
    "linear": _linear,
    "random": _random,
    "density_based": _density_based,
}
