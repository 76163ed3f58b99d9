"""Pruned and rounded weights, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.stages.trial_weights import pruned, rounded


def kernel(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("sparsity", [0.5, 0.7, 0.98])
def test_the_smallest_magnitudes_are_zero_and_the_others_stay(sparsity: float) -> None:
    """As many as asked for; shape and dtype are the same, and the given weights are not changed."""
    weights = kernel(3, 3, 4, 8)
    before = weights.copy()
    found = pruned(weights, sparsity)
    assert (found.shape, found.dtype) == (weights.shape, weights.dtype)
    assert np.count_nonzero(found == 0) == round(sparsity * weights.size)
    kept = found != 0
    assert np.array_equal(found[kept], weights[kept])
    assert np.abs(weights[~kept]).max() <= np.abs(weights[kept]).min()
    assert np.array_equal(weights, before)


def test_weights_of_equal_magnitude_reach_the_sparsity_too() -> None:
    """A model that was quantized once has many of them."""
    assert np.count_nonzero(pruned(np.ones((10, 10)), 0.3)) == 70


@pytest.mark.parametrize("bits", [8, 4])
def test_each_output_channel_has_a_grid_that_ends_at_its_largest_magnitude(bits: int) -> None:
    """Of 2**(bits - 1) - 1 steps either side, by hand."""
    weights = kernel(20, 5)
    found = rounded(weights, bits, (-1,))
    for channel in range(5):
        scale = np.abs(weights[:, channel]).max() / (2 ** (bits - 1) - 1)
        by_hand = np.round(weights[:, channel] / scale) * scale
        assert found[:, channel] == pytest.approx(by_hand, abs=1e-7)
        assert np.unique(found[:, channel]).size <= 2**bits - 1


def test_channels_are_the_axes_that_are_named() -> None:
    """Two of a depthwise kernel, none for one scale in all."""
    weights = kernel(3, 3, 4, 2)
    alone = rounded(weights[:, :, 1:2, 1:], 4, ())
    assert rounded(weights, 4, (-2, -1))[:, :, 1:2, 1:] == pytest.approx(alone)
    assert np.unique(rounded(weights, 4, ())).size <= 15
    assert np.unique(rounded(weights, 4, (-1,))).size > 15


def test_zeros_stay_zeros() -> None:
    """Also channels of nothing else."""
    weights = pruned(kernel(20, 5), 0.6)
    weights[:, 2] = 0
    for bits in (8, 4, 2):
        assert np.all(rounded(weights, bits, (-1,))[weights == 0] == 0)


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=12))
@settings(deadline=None)
def test_ternary_weights_are_the_nearest_of_all(values: list[float]) -> None:
    """No number of largest magnitudes at their mean has a smaller squared error."""
    weights = np.array(values)
    found = rounded(weights, 2, ())
    assert np.unique(np.abs(found[found != 0])).size <= 1
    error = np.sum((weights - found) ** 2)
    magnitudes = np.sort(np.abs(weights))[::-1]
    for count in range(1, len(values) + 1):
        kept = magnitudes[:count]
        other = np.sum((kept - kept.mean()) ** 2) + np.sum(magnitudes[count:] ** 2)
        assert error <= other + 1e-9
