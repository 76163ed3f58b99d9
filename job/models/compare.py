"""Whether two models answer the same, of Keras 2 or 3: on seeded random rows, and on given ones.

The random rows are such as make mistakes show: sequences that are padded on either side and to
several lengths, rows of zeros, negative values, small and large ones, and the whole range of
integers where the model takes it. What a model does not take, it refuses; then narrower values are
tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.errors import InputError
from job.models.open_sizes import SIZES, input_shapes
from job.models.random_layers import equal_draws

# Answers may differ by this much, for sums in another order; by more where values are large.
TOLERANCE = 1e-5
SEED = 20240628
# How many rows are tried, and with how many numbers in all: the first rows tell the most.
ROWS = 7
WIDE_ROWS = 3
MAX_NUMBERS = 1 << 19
# Large inputs are so large; images that are not scaled go to 255.
WIDE = 100.0
# Numbers up to this are summed as exactly as the tolerance wants.
USUAL = 10.0
# The largest integer that is tried of 16 bits and more.
LARGEST = 1000

Array = NDArray[np.generic]
T = TypeVar("T")
# Of each input of a model, without the batch.
Shapes = Sequence[Sequence[int]]
REFUSALS = (ValueError, TypeError, tf.errors.OpError)


@dataclass(frozen=True)
class Rows:
    """Inputs of a model, in its order, each (rows, ...)."""

    inputs: Sequence[Array]
    scale: float = 1.0
    """How large values are, at least 1: a sum of large numbers is off by more."""


def difference(first: Any, second: Any, rows: Rows | None = None) -> float:
    """The largest difference between the answers of two models with the same inputs.

    Args:
        first: A model; random rows are such as it takes.
        second: The other one.
        rows: What they are given; by default seeded random rows.

    Returns:
        In the outputs' own unit; in proportion where inputs or outputs are larger than 1. NaN where
        one answers NaN and the other does not.

    Raises:
        Exception: What Keras or TensorFlow raises, where a model can't be called.
    """
    found = 0.0
    for asked, before in answered(first, rows):
        after = answers(second, asked.inputs)
        for a, b in zip(before, after, strict=True):
            found = max(found, _distance(a, b) / asked.scale, key=_nan_last)
    return found


def answered(model: Any, rows: Rows | None = None) -> Iterator[tuple[Rows, list[Array]]]:
    """What a model answers to ``rows``, or to each of several sets of random rows."""
    if rows is not None:
        yield rows, answers(model, rows.inputs)
        return
    shapes = sizes_for(model)
    yield _first_taken(model, shapes)
    if not any(tf.as_dtype(it.dtype).is_floating for it in model.inputs):
        return  # integers have their whole range already
    drawn = _draw(model, shapes, "wide")
    wide = Rows(drawn, _scale(drawn))
    try:
        answer = answers(model, wide.inputs)
    except REFUSALS:
        return  # it takes no such values
    yield wide, answer


def first_different(names: Sequence[str], before: Any, after: Any, rows: Rows | None = None) -> str:
    """The first of several outputs of two models, in order, that differs; empty where none does."""
    for asked, first in answered(before, rows):
        second = answers(after, asked.inputs)
        for name, a, b in zip(names, first, second, strict=True):
            if not _distance(a, b) / asked.scale <= TOLERANCE:
                return name
    return ""


def rows_of(inputs: Sequence[Array]) -> Rows:
    """Rows of a data set; integers of 16 bits and more are taken for indices."""
    values = [it for it in inputs if it.size and (it.dtype.kind == "f" or it.dtype.itemsize == 1)]
    return Rows(inputs, _scale(values))


def on_random_inputs(model: Any, use: Callable[[list[Array]], T]) -> T:
    """Call ``use`` with two seeded random rows of inputs for a model, in its order."""
    shapes = sizes_for(model)
    try:
        return use([array[:2] for array in _draw(model, shapes, "usual")])
    except (ValueError, tf.errors.InvalidArgumentError):
        return use([array[:2] for array in _draw(model, shapes, "narrow")])


def sizes_for(model: Any) -> Shapes:
    """Shapes of a model's inputs, without the batch, that it takes.

    Raises:
        InputError: Where it has open dimensions, and no sizes were found that fit.
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


def answers(model: Any, inputs: Sequence[Array]) -> list[Array]:
    """A model's outputs, one after the other, for its inputs, one after the other."""
    given = tf.nest.pack_sequence_as(graph_of(model).input, list(inputs))
    with equal_draws(model):
        return [np.asarray(it) for it in tf.nest.flatten(model(given, training=False))]


def graph_of(model: Any) -> Any:
    """The functional model; Keras 3 wraps that of a Sequential."""
    return getattr(model, "_functional", None) or model


def _first_taken(model: Any, shapes: Shapes) -> tuple[Rows, list[Array]]:
    """The first random rows that the model takes, and what it answers."""

    def drawn(kind: str) -> tuple[Rows, list[Array]]:
        inputs = _draw(model, shapes, kind)
        rows = Rows(inputs, 1.0 if _categories(model) else _scale(inputs))
        return rows, answers(model, rows.inputs)

    try:
        return drawn("usual")
    except REFUSALS:
        return drawn("narrow")


def _scale(inputs: Sequence[Array]) -> float:
    """How large values are; normal ones and probabilities count as 1."""
    largest = [float(np.abs(it.astype(np.float64)).max()) for it in inputs if it.size]
    return max([1.0, *(value / USUAL for value in largest)])


def _distance(before: Array, after: Array) -> float:
    """The largest difference; of outputs larger than 1 in proportion to the largest of the row."""
    if not before.size:
        return 0.0
    a, b = before.astype(np.float64), after.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    axes = tuple(range(1, a.ndim))
    size = np.abs(np.where(np.isfinite(a), a, 0.0)).max(axis=axes, keepdims=True)
    return float((apart / np.maximum(1.0, size)).max())


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _draw(model: Any, shapes: Shapes, kind: str) -> list[Array]:
    """Random inputs: ``usual``, ``wide`` or ``narrow`` ones."""
    random = np.random.default_rng(SEED)
    categories = _categories(model)
    numbers = sum(math.prod(shape) for shape in shapes)
    most = WIDE_ROWS if kind == "wide" else ROWS
    rows = max(2, min(most, MAX_NUMBERS // max(1, numbers)))
    inputs = []
    for tensor, shape in zip(model.inputs, shapes, strict=True):
        dtype = tf.as_dtype(tensor.dtype).as_numpy_dtype
        drawn = _values(random, [rows, *shape], np.dtype(dtype), categories, kind)
        inputs.append(_padded(drawn).astype(dtype))
    return inputs


def _values(
    random: np.random.Generator, shape: list[int], dtype: np.dtype[Any], categories: int, kind: str
) -> Array:
    if dtype.kind == "b":
        return random.integers(0, 2, shape)
    if dtype.kind in "iu" or (categories and kind != "wide"):
        # Zero is for padding.
        if categories:
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
    """Rows of zeros behind and before, as padding is: the second to the fifth."""
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


def _categories(model: Any) -> int:
    """How many different integers every table of the model has a row for; 0 without a table."""
    sizes = []
    for layer in model._flatten_layers():  # noqa: SLF001 - public API has no walk
        if type(layer).__name__ in ("Embedding", "ReversibleEmbedding"):
            sizes.append(int(layer.input_dim))
        elif type(layer).__name__ == "CategoryEncoding":
            sizes.append(int(layer.num_tokens))
    return min(sizes, default=0)
