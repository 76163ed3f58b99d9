"""Projections: a kernel of any float values -> the nearest one that a small file can hold.

A kernel is first masked, then clustered or put on a grid of integers; each is a function of tensors
that works inside a graph and outside.

- Masks keep the weights with the largest scores of all kernels that share a target. The scores are
  magnitudes, or those of LAMP (Lee and others, "Layer-adaptive sparsity for the magnitude-based
  pruning", https://arxiv.org/abs/2010.07611): a weight's square over the sum of the squares in its
  kernel that are not smaller. The largest weight of a kernel is always kept, so no kernel becomes
  all zeros.
- Grids: whole numbers q, |q| <= 2^(bits - 1) - 1, times a scale, the largest magnitude over the
  largest q, of each output channel or of the whole kernel.
- Blocks: a grid of 4 bits with a scale for each run of so many weights of a row, which are the
  weights of one output (``job/tflite/blocks.py``).
- The grid of 2 bits is ternary: -s, 0 and s, where s is the mean magnitude of the weights that are
  kept ("Trained ternary quantization", https://arxiv.org/abs/1612.01064). A kernel without a mask
  keeps those above 0.7 times the mean magnitude ("Ternary weight networks",
  https://arxiv.org/abs/1605.04711).
- Clusters: each weight becomes the nearest of a few values.

Scales are rounded to bfloat16, of 8 significant bits. Products of such a scale and a q are exact in
float32, so whoever divides the largest magnitude of a projected kernel by the largest q finds the
scale to the last bit, and the same q: rounding moves a scale by at most 1/256, and 127 divided by
(1 + 1/256) still rounds to 127. It also makes scales easier to compress.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from job.tflite.blocks import LARGEST, LEAST, MOST

# A weight is zero in an unpruned ternary kernel below this part of the mean magnitude.
TERNARY_THRESHOLD = 0.7


def magnitude(weights: tf.Tensor) -> tf.Tensor:
    """Scores that compare weights of all kernels as they are."""
    return tf.abs(weights)


def lamp(weights: tf.Tensor) -> tf.Tensor:
    """LAMP's scores, of the kernel's shape; of equal weights the first has the higher one."""
    squares = tf.reshape(tf.square(weights), [-1])
    falling, order = tf.math.top_k(squares, tf.size(squares))
    sums = tf.cumsum(falling)  # of all that are not smaller
    scores = tf.math.divide_no_nan(falling, sums)
    found = tf.scatter_nd(order[:, None], scores, tf.shape(squares))
    return tf.reshape(found, tf.shape(weights))


# How a target is shared among kernels -> the scores that are compared.
SCORES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"global": magnitude, "lamp": lamp}


def masks(scores: Sequence[tf.Tensor], sparsity: tf.Tensor) -> list[tf.Tensor]:
    """Masks of several kernels that have a sparsity together.

    Args:
        scores: Of each kernel, of its shape; float32.
        sparsity: The fraction of all their weights that is zero; a float64 scalar.

    Returns:
        A mask for each kernel, of its shape: True for the weights that are kept, exactly as many as
        asked, but at least one of each kernel. Of equal scores the first are kept.
    """
    flat = [_with_largest_first(tf.reshape(it, [-1])) for it in scores]
    joined = tf.concat(flat, 0)
    size = tf.size(joined)
    pruned = tf.cast(tf.round(sparsity * tf.cast(size, tf.float64)), tf.int32)
    kept = tf.maximum(size - pruned, len(flat))
    places = tf.math.top_k(joined, kept, sorted=False).indices
    mask = tf.scatter_nd(places[:, None], tf.ones_like(places), size[None]) > 0
    parts = tf.split(mask, [it.shape[0] for it in flat])
    return [tf.reshape(part, it.shape) for part, it in zip(parts, scores, strict=True)]


def _with_largest_first(scores: tf.Tensor) -> tf.Tensor:
    """The scores of a kernel, the largest of which is raised above those of all kernels."""
    place = tf.argmax(scores, output_type=tf.int32)
    return tf.tensor_scatter_nd_update(scores, [[place]], [float("inf")])


def largest_integer(bits: int) -> int:
    """The largest whole number of a grid: 127 for 8 bits, 7 for 4, 1 for 2."""
    return 2 ** (bits - 1) - 1


def on_grid(weights: tf.Tensor, bits: int, channels: Sequence[int]) -> tf.Tensor:
    """The nearest values on a symmetric grid of integers; zeros stay zeros.

    Args:
        weights: A kernel; float32.
        bits: 8 or 4.
        channels: The axes along which each index has a scale of its own; none for one scale.
    """
    most = largest_integer(bits)
    others = [axis for axis in range(weights.shape.rank) if axis not in channels]
    scale = _rounded(tf.reduce_max(tf.abs(weights), others, keepdims=True) / most)
    return _multiples(weights, tf.where(scale > 0, scale, tf.ones_like(scale)), most)


def in_blocks(weights: tf.Tensor, block: int) -> tf.Tensor:
    """The nearest values on grids of 4 bits with blockwise scales; zeros stay zeros.

    Args:
        weights: The kernel of a Dense layer, (inputs, outputs), float32; inputs are a multiple of
            ``block``.
        block: How many inputs of an output share a scale.
    """
    inputs, outputs = weights.shape
    parts = tf.reshape(weights, (inputs // block, block, outputs))
    scale = _rounded(tf.reduce_max(tf.abs(parts), 1, keepdims=True) / MOST)
    scale = tf.clip_by_value(scale, LEAST, LARGEST)
    return tf.reshape(_multiples(parts, scale, MOST), weights.shape)


def _multiples(weights: tf.Tensor, scale: tf.Tensor, most: int) -> tf.Tensor:
    whole = tf.clip_by_value(tf.round(weights / scale), -most, most)
    return tf.where(whole == 0, 0.0, whole * scale)  # without a -0.0, which codecs would pay for


def ternary(weights: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """The weights that are kept as the same magnitude, with their signs; the others as zeros.

    Args:
        weights: A kernel; float32.
        mask: True where a weight is kept; None where the kernel is not pruned.
    """
    sizes = tf.abs(weights)
    if mask is None:
        mask = sizes > TERNARY_THRESHOLD * tf.reduce_mean(sizes)
    kept = tf.cast(mask, weights.dtype)
    scale = _rounded(tf.math.divide_no_nan(tf.reduce_sum(sizes * kept), tf.reduce_sum(kept)))
    return tf.where(tf.logical_and(mask, weights != 0), tf.sign(weights) * scale, 0.0)


def _rounded(scale: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(scale, tf.bfloat16), scale.dtype)


def nearest(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """For each weight the index of the nearest value: int32, of the kernel's shape.

    Args:
        weights: A kernel; float32.
        values: (n,), in rising order.
    """
    borders = (values[1:] + values[:-1]) / 2
    flat = tf.searchsorted(borders, tf.reshape(weights, [-1]))
    return tf.reshape(flat, tf.shape(weights))


def means(
    weights: tf.Tensor, places: tf.Tensor, kept: tf.Tensor | None, values: tf.Tensor
) -> tf.Tensor:
    """The mean of the weights of each cluster, in rising order; an empty one keeps its value.

    Args:
        weights: A kernel; float32.
        places: Of each weight, the index of its cluster; int32.
        kept: True for the weights that count; None for all.
        values: (n,), the clusters' values before.
    """
    count = tf.size(values)
    counted = tf.ones_like(weights) if kept is None else tf.cast(kept, weights.dtype)
    index = tf.reshape(places, [-1])
    sums = tf.math.unsorted_segment_sum(tf.reshape(weights * counted, [-1]), index, count)
    sizes = tf.math.unsorted_segment_sum(tf.reshape(counted, [-1]), index, count)
    found = tf.where(sizes > 0, tf.math.divide_no_nan(sums, sizes), values)
    return tf.sort(found)
