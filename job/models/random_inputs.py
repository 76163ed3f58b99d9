"""Random inputs that a model accepts: their sizes, found by trying them, and seeded values.

A model file does not say which sizes a model accepts: it may crop, pool or convolve more steps than
a short input has, add a limited number of positions, halve its input five times, or need one input
to be half as long as another. So sizes are tried until the model runs and no tensor in it is empty.

The values reveal differences between models: sequences that are padded on either side and to
several lengths, rows of zeros, negative values, small and large ones, and the whole range of
integers if the model accepts it. If a model fails with such values, narrower ones are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Literal, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.models.layers import every_layer, graph_of
from job.models.random_layers import SEED

Array = NDArray[np.generic]
Shape = tuple[int, ...]
OpenShape = tuple[int | None, ...]
Kind = Literal["usual", "wide", "narrow"]
T = TypeVar("T")

# Multiples of 32 for models that halve their input, some small sizes for those with a limit,
# multiples of 3, 5 and 7, and then larger ones for those that crop.
SIZES = (32, 64, 128, 16, 8, 256, 512, 96, 240, 1024, 1680, 2048, 4096, 8192, 16384, 32768, 65536)
# The last resort: such inputs may be broadcast.
SMALLEST = (4, 2, 1)
# If inputs of equal sizes do not fit each other: how many times longer one may be than another.
FACTORS = (1, 2, 4, 8)
RELATED_SIZES = (32, 64, 256, 8)
MAX_RELATED_INPUTS = 3
# Larger inputs are not tried: values of all inputs together, for one row.
MAX_VALUES = 1 << 22

# The number of rows, and of values in all: the first rows reveal the most.
ROWS = 7
WIDE_ROWS = 3
MAX_NUMBERS = 1 << 19
# The scale of large inputs; images that are not scaled go to 255.
WIDE = 100.0
# The largest integer that is tried of 16 bits and more.
LARGEST = 1000


def input_shapes(model: Any) -> list[Shape] | None:
    """Shapes, without the batch, that a model of Keras 2 or 3 accepts; None if none was found."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if all(None not in shape for shape in shapes):
        return shapes
    graph = graph_of(model)
    nodes = [node for depth in graph._nodes_by_depth.values() for node in depth]  # noqa: SLF001 - no other way
    # The same model with the outputs of all its layers.
    kind = tf_keras.Model if isinstance(model, tf_keras.Model) else type(graph)
    probe = kind(graph.inputs, [it for node in nodes for it in tf.nest.flatten(node.outputs)])
    return next((it for it in _candidates(shapes) if _accepts(probe, model, it)), None)


def found_shapes(model: Any) -> list[Shape]:
    """``input_shapes`` of a model that must have some.

    Raises:
        InputError: If the model has open dimensions, and no sizes were found that fit.
    """
    shapes = input_shapes(model)
    if shapes is None:
        raise InputError(
            "The model leaves dimensions of its inputs open, and no sizes were found that it "
            f"takes: powers of 2 up to {SIZES[-1]:,} were tried, and others.",
            where=", ".join(f"{it.name} {tuple(it.shape)}" for it in model.inputs),
            hint="Build the model with the sizes that it is used with, and save it again.",
        )
    return shapes


def on_random_inputs(model: Any, use: Callable[[list[Array]], T]) -> T:
    """Call ``use`` with two seeded random rows of inputs for a model, in its order."""
    shapes = found_shapes(model)
    try:
        return use([array[:2] for array in draw(model, shapes, "usual")])
    except (ValueError, tf.errors.InvalidArgumentError):
        return use([array[:2] for array in draw(model, shapes, "narrow")])


def draw(model: Any, shapes: Sequence[Shape], kind: Kind) -> list[Array]:
    """Seeded random inputs of these shapes, in the model's order, each (rows, ...)."""
    random = np.random.default_rng(SEED)
    categories = count_categories(model)
    numbers = sum(math.prod(shape) for shape in shapes)
    most = WIDE_ROWS if kind == "wide" else ROWS
    rows = max(2, min(most, MAX_NUMBERS // max(1, numbers)))
    inputs = []
    for tensor, shape in zip(model.inputs, shapes, strict=True):
        dtype = _dtype(tensor)
        drawn = _values(random, [rows, *shape], dtype, categories, kind)
        inputs.append(_padded(drawn).astype(dtype))
    return inputs


def count_categories(model: Any) -> int:
    """The number of integers for which every embedding has a row; 0 without an embedding."""
    sizes = []
    for layer in every_layer(model):
        # A Keras 3 layer that is called as it is has its settings in itself.
        settings = layer.in_keras3() if hasattr(layer, "in_keras3") else layer
        if type(layer).__name__ in ("Embedding", "ReversibleEmbedding"):
            sizes.append(int(settings.input_dim))
        elif type(layer).__name__ == "CategoryEncoding":
            sizes.append(int(settings.num_tokens))
    return min(sizes, default=0)


def indexed_inputs(model: Any) -> list[int]:
    """For each input, how many rows the embedding has that it goes to; 0 where it goes to none.

    An input of integers that reaches its embedding through other layers counts as one of the
    model's smallest.
    """
    smallest = count_categories(model)
    found = []
    for tensor in model.inputs:
        nodes = tensor._keras_history.layer._outbound_nodes  # noqa: SLF001 - no other way
        sizes = [
            count_categories(it) for it in (getattr(node, "layer", None) for node in nodes) if it
        ]
        direct = min([it for it in sizes if it], default=0)
        is_integer = _dtype(tensor).kind in "iu"
        found.append(direct or (smallest if is_integer else 0))
    return found


def _candidates(shapes: Sequence[OpenShape]) -> Iterator[list[Shape]]:
    """One size for every open dimension; then sizes of which some are multiples of others."""
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


def _filled(shapes: Sequence[OpenShape], sizes: Sequence[int]) -> Iterator[list[Shape]]:
    filled = [
        tuple(size if known is None else known for known in shape)
        for shape, size in zip(shapes, sizes, strict=True)
    ]
    if sum(math.prod(shape) for shape in filled) <= MAX_VALUES:
        yield filled


def _accepts(probe: Any, model: Any, shapes: Sequence[Shape]) -> bool:
    """Whether the model runs, and no layer's output is empty."""
    random = np.random.default_rng(0)
    rows = [
        random.random((1, *shape)).astype(_dtype(tensor))
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]
    try:
        outputs = probe(rows, training=False)
    except Exception:  # noqa: BLE001 - layers raise any exception for sizes that do not fit
        return False
    return all(0 not in tuple(it.shape) for it in tf.nest.flatten(outputs))


def _dtype(tensor: Any) -> np.dtype[Any]:
    return np.dtype(tf.as_dtype(tensor.dtype).as_numpy_dtype)


def _values(
    random: np.random.Generator, shape: list[int], dtype: np.dtype[Any], categories: int, kind: Kind
) -> Array:
    if dtype.kind == "b":
        return random.integers(0, 2, shape)
    if dtype.kind in "iu" or (categories and kind != "wide"):
        if categories:  # zero is for padding
            return random.integers(min(1, categories - 1), categories, shape)
        if kind == "narrow":
            return random.integers(0, 2, shape)
        limits = np.iinfo(dtype)
        return random.integers(max(limits.min, -LARGEST), min(limits.max, LARGEST) + 1, shape)
    drawn = random.normal(size=shape)
    if kind == "narrow":
        return random.random(shape)
    if kind == "wide":
        return drawn * WIDE
    drawn[0] = random.random(shape[1:])
    drawn[6:] *= 1e-3  # the rows before it are padded
    return drawn


def _padded(drawn: Array) -> Array:
    """Pad the second to the fifth row with zeros, after or before the values."""
    if drawn.ndim < 2:  # one number for each row
        drawn[3:4] = 0
        return drawn
    steps = drawn.shape[1]
    half = (steps + 1) // 2
    for row, part in ((1, slice(half, None)), (2, slice(None, steps - half)), (4, slice(1, None))):
        if row < len(drawn):
            drawn[row, part] = 0
    if len(drawn) > 3:
        drawn[3] = 0
    return drawn
