"""Where clusters start: in rising order, from the weights, and the same for the same seed."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from job.manifest.cluster import ClusterConfig
from job.stages.centroids import INITS, k_means, start_values

WEIGHTS = np.random.default_rng(3).normal(size=(80, 20))


def test_every_way_of_the_manifest_is_there() -> None:
    """And no other."""
    asked = ClusterConfig.model_fields["cluster_centroids_init"].annotation
    assert set(get_args(asked)) == INITS.keys()


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("count", [1, 2, 15, 256])
def test_values_are_as_many_as_asked_and_rise(init: str, count: int) -> None:
    """Within the range of the weights; the same seed gives the same."""
    found = start_values(WEIGHTS, count, init, seed=4)
    assert found.shape == (count,)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= WEIGHTS.min()
    assert found[-1] <= WEIGHTS.max()
    np.testing.assert_array_equal(found, start_values(WEIGHTS, count, init, seed=4))


@pytest.mark.parametrize("init", INITS)
def test_few_distinct_weights_are_the_values(init: str) -> None:
    """What was clustered before starts from the same clusters, whatever the way."""
    few = np.repeat([-1.5, 0.25, 2.0], 7)
    np.testing.assert_array_equal(start_values(few, 5, init, 1), [-1.5, 0.25, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(start_values(np.zeros(0), 2, init, 1), [0, 0])


def test_linear_and_density_based_are_tfmots() -> None:
    """At equal distances over the range; and at equal shares of the weights."""
    found = start_values(WEIGHTS, 5, "linear", 1)
    np.testing.assert_allclose(found, np.linspace(WEIGHTS.min(), WEIGHTS.max(), 5))
    shares = [np.mean(it >= WEIGHTS) for it in start_values(WEIGHTS, 4, "density_based", 1)]
    np.testing.assert_allclose(shares, [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=1e-3)


def error(values: np.ndarray) -> float:
    return float(np.square(WEIGHTS[..., None] - values).min(axis=-1).mean())


def test_k_means_ends_at_means_and_is_better_than_a_line() -> None:
    """Each value is the mean of the weights that are nearest to it."""
    found = start_values(WEIGHTS, 15, "kmeans_plus_plus", 7)
    near = np.abs(WEIGHTS[..., None] - found).argmin(axis=-1)
    more = k_means(np.sort(WEIGHTS.ravel()), found, iterations=1000)
    assert error(more) <= error(found)
    means = [WEIGHTS[near == it].mean() for it in range(15)]
    np.testing.assert_allclose(found, means, atol=0.02)
    assert error(found) < 0.7 * error(start_values(WEIGHTS, 15, "linear", 7))
