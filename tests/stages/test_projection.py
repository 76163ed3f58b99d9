"""Projections: masks, grids, ternary values and clusters are those of NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from job.stages import projection
from job.tflite import blocks

Floats = NDArray[np.floating]


def kernel(*shape: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def masks_of(scores: Sequence[Floats], sparsity: float) -> list[NDArray[np.bool_]]:
    share = tf.constant(sparsity, tf.float64)
    return [it.numpy() for it in projection.masks([tf.constant(it) for it in scores], share)]


def lamp_by_definition(weights: Floats) -> Floats:
    """Algorithm 1 of arXiv 2010.07611, weight by weight."""
    squares = np.square(weights.astype(np.float64))
    scores = np.zeros_like(squares)
    for place in np.ndindex(squares.shape):
        scores[place] = squares[place] / squares[squares >= squares[place]].sum()
    return scores


def test_lamp_is_its_definition() -> None:
    """A weight's square over the sum of the squares that are not smaller; the largest has 1."""
    weights = kernel(7, 5, 3)
    found = projection.lamp(tf.constant(weights)).numpy()
    np.testing.assert_allclose(found, lamp_by_definition(weights), rtol=1e-5)
    assert found[np.unravel_index(np.abs(weights).argmax(), weights.shape)] == 1.0


def test_lamp_of_zeros_is_zero() -> None:
    """Not NaN, where a kernel or its smallest weights are zero."""
    assert (projection.lamp(tf.zeros((3, 2))).numpy() == 0).all()
    found = projection.lamp(tf.constant([0.0, 2.0, 0.0, 1.0])).numpy()
    np.testing.assert_allclose(found, [0, 1, 0, 0.2])


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.97])
def test_global_masks_keep_the_largest_of_all_kernels(sparsity: float) -> None:
    """Exactly as many as asked, in whichever kernel they are."""
    kernels = [kernel(20, 10), 0.2 * kernel(30, 5, seed=2), 3 * kernel(3, 3, 2, 4, seed=3)]
    found = masks_of([np.abs(it) for it in kernels], sparsity)
    every = np.concatenate([np.abs(it).ravel() for it in kernels])
    kept = every.size - round(sparsity * every.size)
    flat = np.concatenate([it.ravel() for it in found])
    assert flat.sum() == kept
    rest = every[~flat]
    # The largest of each kernel is kept however small it is.
    spared = [np.abs(it).max() for it in kernels]
    least = np.setdiff1d(every[flat], spared).min(initial=np.inf)
    assert rest.max(initial=0) < least


@pytest.mark.parametrize("sparsity", [0.99, 0.9999, 1.0])
def test_no_kernel_becomes_all_zeros(sparsity: float) -> None:
    """A kernel of tiny weights keeps its largest one, and one of zeros its first."""
    kernels = [kernel(40, 40), 1e-9 * kernel(8, 8), np.zeros((4, 4), np.float32)]
    found = masks_of([np.abs(it) for it in kernels], sparsity)
    assert all(it.any() for it in found)
    assert found[1].ravel()[np.abs(kernels[1]).argmax()]


def test_of_equal_scores_the_first_are_kept() -> None:
    """Ties, which a model that once was uint8 is full of, do not miss the target."""
    (found,) = masks_of([np.ones((10, 10), np.float32)], 0.75)
    assert found.sum() == 25
    (again,) = masks_of([np.ones((10, 10), np.float32)], 0.75)
    np.testing.assert_array_equal(found, again)


def bfloat16(value: Floats) -> Floats:
    return np.asarray(tf.cast(tf.cast(value, tf.bfloat16), tf.float32).numpy())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("shape", "channels"),
    [((30, 7), (1,)), ((30, 7), ()), ((3, 3, 4, 5), (3,)), ((3, 3, 4, 2), (2, 3))],
)
def test_grids_are_numpys(bits: int, shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    """Whole numbers times a scale, for each channel that of its largest magnitude."""
    weights = kernel(*shape) * np.linspace(0.01, 30, shape[-1], dtype=np.float32)
    most = 2 ** (bits - 1) - 1
    axes = tuple(axis for axis in range(len(shape)) if axis not in channels)
    scale = bfloat16(np.abs(weights).max(axis=axes, keepdims=True) / np.float32(most))
    whole = np.clip(np.round(weights / scale), -most, most)
    found = projection.on_grid(tf.constant(weights), bits, channels).numpy()
    np.testing.assert_array_equal(found, whole * scale)
    assert (np.abs(whole).max(axis=axes) == most).all()
    assert np.abs(found - weights).max() <= np.max(scale) * 0.5 * (1 + most / 64)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_scale_of_a_grid_is_found_again(bits: int) -> None:
    """Whoever divides the largest magnitude by the largest integer gets the same integers, and
    values of the grid project to themselves.
    """
    most = 2 ** (bits - 1) - 1
    for seed in range(50):
        weights = kernel(40, 3, seed=seed) * 10.0 ** np.random.default_rng(seed).uniform(-6, 3)
        found = projection.on_grid(tf.constant(weights, tf.float32), bits, (1,)).numpy()
        scale = np.abs(found).max(axis=0) / np.float32(most)
        whole = found / scale
        np.testing.assert_array_equal(whole, np.round(whole))
        again = projection.on_grid(tf.constant(found), bits, (1,)).numpy()
        np.testing.assert_array_equal(again, found)


def test_grids_leave_zeros_and_empty_channels() -> None:
    """Also without a -0.0, and without NaN."""
    weights = kernel(20, 3)
    weights[:, 1] = 0
    weights[::2, 0] = 0
    weights[1, 2] = -1e-6
    found = projection.on_grid(tf.constant(weights), 4, (1,)).numpy()
    assert (found[weights == 0] == 0).all()
    assert not np.signbit(found[found == 0]).any()
    assert np.isfinite(found).all()


def test_ternary_with_a_mask_is_the_mean_of_what_is_kept() -> None:
    """Signs of the kept weights times one scale (arXiv 1612.01064)."""
    weights = kernel(50, 8)
    mask = np.abs(weights) > 1.0
    scale = bfloat16(np.abs(weights[mask]).mean(dtype=np.float64).astype(np.float32))
    found = projection.ternary(tf.constant(weights), tf.constant(mask)).numpy()
    np.testing.assert_allclose(found, np.sign(weights) * mask * scale, rtol=2**-7)
    assert np.unique(found).size == 3
    assert np.unique(np.abs(found[mask])).size == 1
    assert not np.signbit(found[found == 0]).any()


def test_ternary_without_a_mask_has_a_threshold() -> None:
    """0.7 times the mean magnitude (arXiv 1605.04711)."""
    weights = kernel(50, 8)
    sizes = np.abs(weights)
    found = projection.ternary(tf.constant(weights), None).numpy()
    np.testing.assert_array_equal(found != 0, sizes > np.float32(0.7) * sizes.mean())


def test_nearest_is_the_smallest_distance() -> None:
    """For each weight, among values in rising order."""
    weights, values = kernel(60, 9), np.sort(kernel(12, seed=5))
    found = projection.nearest(tf.constant(weights), tf.constant(values)).numpy()
    far = np.abs(weights[..., None] - values)
    np.testing.assert_allclose(
        np.take_along_axis(far, found[..., None], -1)[..., 0], far.min(axis=-1), atol=1e-6
    )


def test_means_are_those_of_the_clusters() -> None:
    """Of the weights that count; an empty cluster keeps its value."""
    weights = kernel(60, 9)
    values = np.array([-9.0, -0.5, 0.2, 1.0], np.float32)
    kept = np.abs(weights) > 0.1
    places = projection.nearest(tf.constant(weights), tf.constant(values))
    found = projection.means(
        tf.constant(weights), places, tf.constant(kept), tf.constant(values)
    ).numpy()
    assert found[0] == -9.0
    index = places.numpy()
    wanted = [weights[kept & (index == it)].mean() for it in (1, 2, 3)]
    np.testing.assert_allclose(found[1:], wanted, rtol=1e-5)


@pytest.mark.parametrize("block", [32, 64])
def test_blocks_have_the_grid_that_the_file_finds(block: int) -> None:
    """Scales are NumPy's, zeros stay zeros, and the file has each weight bit for bit."""
    weights = kernel(128, 6)
    weights[np.random.default_rng(0).random(weights.shape) < 0.8] = 0
    weights[:block, 2] = 0
    weights[block:, 3] *= 1e-6  # float16 has no normal numbers for such scales
    found = projection.in_blocks(tf.constant(weights), block).numpy()
    parts = weights.reshape(-1, block, 6)
    largest = np.abs(parts).max(axis=1, keepdims=True) / 7
    scales = np.maximum(tf.cast(tf.cast(largest, tf.bfloat16), tf.float32).numpy(), 2.0**-14)
    wanted = np.clip(np.rint(parts / scales), -7, 7) * scales
    np.testing.assert_array_equal(found, wanted.reshape(weights.shape))
    assert (found[weights == 0] == 0).all()
    assert not np.signbit(found[found == 0]).any()
    grid = blocks.exact(found.T, block)
    assert grid is not None
    real = grid.values.reshape(6, -1, block) * grid.scales[..., None]
    np.testing.assert_array_equal(real.reshape(6, 128), found.T)
