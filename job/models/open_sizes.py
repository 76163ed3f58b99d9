"""Sizes for the dimensions that a model leaves open, found by trying them.

What a model takes is not written in it: it may crop, pool or convolve more than a short input has,
add positions of which there are few, halve its input five times, or want one input to be half as
long as another. So sizes are tried, until the model answers and nothing inside it is empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

Array = NDArray[np.generic]
Shape = tuple[int, ...]

# Multiples of 32 for what halves its input, some small ones for what takes no more, multiples of
# 3, 5 and 7, and then ever more, for what crops.
SIZES = (32, 64, 128, 16, 8, 256, 512, 96, 240, 1024, 1680, 2048, 4096, 8192, 16384, 32768, 65536)
# The last resort: with them, what does not fit may be broadcast.
SMALLEST = (4, 2, 1)
# Where inputs of one size do not fit each other: how many times longer one may be than another.
FACTORS = (1, 2, 4, 8)
RELATED_SIZES = (32, 64, 256, 8)
MAX_RELATED_INPUTS = 3
# Larger inputs are not tried: values of all inputs together, of one row.
MAX_VALUES = 1 << 22


def input_shapes(model: Any) -> list[Shape] | None:
    """Shapes of a model's inputs, without the batch, that it takes; its open dimensions chosen.

    Args:
        model: A model of Keras 2 or 3 with a graph.

    Returns:
        One shape for each input, in the model's order; None where none was found.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if all(None not in shape for shape in shapes):
        return shapes
    probe = _probe(model)
    return next((it for it in _candidates(shapes) if _takes(probe, model, it)), None)


def _candidates(shapes: Sequence[tuple[int | None, ...]]) -> Iterator[list[Shape]]:
    """The same size for every open dimension; then sizes of which some are multiples of others."""
    for size in SIZES:
        yield from _filled(shapes, [size] * len(shapes))
    is_open = [None in shape for shape in shapes]
    if 1 < sum(is_open) <= MAX_RELATED_INPUTS:
        choices = [FACTORS if it else (1,) for it in is_open]
        for size, factors in product(RELATED_SIZES, product(*choices)):
            if len(set(factors)) > 1:
                yield from _filled(shapes, [size * factor for factor in factors])
    for size in SMALLEST:
        yield from _filled(shapes, [size] * len(shapes))


def _filled(
    shapes: Sequence[tuple[int | None, ...]], sizes: Sequence[int]
) -> Iterator[list[Shape]]:
    filled = [
        tuple(size if known is None else known for known in shape)
        for shape, size in zip(shapes, sizes, strict=True)
    ]
    if sum(math.prod(shape) for shape in filled) <= MAX_VALUES:
        yield filled


def _probe(model: Any) -> Any:
    """The same model, which answers with what each of its layers does."""
    graph = getattr(model, "_functional", None) or model  # Keras 3 wraps that of a Sequential
    nodes = [node for depth in graph._nodes_by_depth.values() for node in depth]  # noqa: SLF001 - no other way
    answers = [it for node in nodes for it in tf.nest.flatten(node.outputs)]
    kind = tf_keras.Model if isinstance(model, tf_keras.Model) else type(graph)
    return kind(graph.inputs, answers)


def _takes(probe: Any, model: Any, shapes: Sequence[Shape]) -> bool:
    """Whether the model answers, and no layer's answer is empty."""
    random = np.random.default_rng(0)
    rows = [
        random.random((1, *shape)).astype(_dtype(tensor))
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]
    try:
        answers = probe(rows, training=False)
    except Exception:  # noqa: BLE001 - layers raise whatever sizes make them stumble over
        return False
    return all(0 not in tuple(it.shape) for it in tf.nest.flatten(answers))


def _dtype(tensor: Any) -> np.dtype[Any]:
    return np.dtype(tf.as_dtype(tensor.dtype).as_numpy_dtype)
