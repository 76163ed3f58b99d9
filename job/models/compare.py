"""Whether two models, of Keras 2 or 3, give the same outputs: on random rows, and on given ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from job.models.layers import graph_of
from job.models.random_inputs import Array, count_categories, draw, found_shapes
from job.models.random_layers import equal_draws

# Outputs may differ by this much, because sums have another order; by more if values are large.
TOLERANCE = 1e-5
# Numbers up to this are summed as exactly as the tolerance requires.
USUAL = 10.0
REFUSALS = (ValueError, TypeError, tf.errors.OpError)


@dataclass(frozen=True)
class Rows:
    """Inputs of a model, in its order, each (rows, ...)."""

    inputs: Sequence[Array]
    scale: float = 1.0
    """The scale of the values, at least 1: the error of a sum grows with it."""


def difference(first: Any, second: Any, rows: Rows | None = None) -> float:
    """The largest difference between the outputs of two models for the same inputs.

    Args:
        first: A model; the random rows are such as it accepts.
        second: The other one.
        rows: The inputs; by default seeded random rows.

    Returns:
        In the outputs' own unit; relative if inputs or outputs are larger than 1. NaN if one
        output is NaN and the other is not.

    Raises:
        Exception: From Keras or TensorFlow, if a model can't be called.
    """
    found = 0.0
    for given, before in _outputs(first, rows):
        after = outputs_of(second, given.inputs)
        for a, b in zip(before, after, strict=True):
            found = max(found, _distance(a, b) / given.scale, key=_nan_last)
    return found


def first_different(names: Sequence[str], before: Any, after: Any, rows: Rows | None = None) -> str:
    """The first of several outputs of two models, in order, that differs; empty if none does."""
    for given, first in _outputs(before, rows):
        second = outputs_of(after, given.inputs)
        for name, a, b in zip(names, first, second, strict=True):
            if not _distance(a, b) / given.scale <= TOLERANCE:
                return name
    return ""


def rows_of(inputs: Sequence[Array]) -> Rows:
    """Rows of a data set; integers of 16 bits and more are taken for indices."""
    values = [it for it in inputs if it.size and (it.dtype.kind == "f" or it.dtype.itemsize == 1)]
    return Rows(inputs, _scale(values))


def outputs_of(model: Any, inputs: Sequence[Array]) -> list[Array]:
    """A model's outputs, as a flat list, for its inputs, as a flat list."""
    given = tf.nest.pack_sequence_as(graph_of(model).input, list(inputs))
    with equal_draws(model):
        return [np.asarray(it) for it in tf.nest.flatten(model(given, training=False))]


def _outputs(model: Any, rows: Rows | None) -> Iterator[tuple[Rows, list[Array]]]:
    """A model's outputs for ``rows``, or for each of several sets of random rows."""
    if rows is not None:
        yield rows, outputs_of(model, rows.inputs)
        return
    shapes = found_shapes(model)
    is_scaled = not count_categories(model)
    try:
        inputs = draw(model, shapes, "usual")
        outputs = outputs_of(model, inputs)
    except REFUSALS:
        inputs = draw(model, shapes, "narrow")
        outputs = outputs_of(model, inputs)
    yield Rows(inputs, _scale(inputs) if is_scaled else 1.0), outputs
    if not any(tf.as_dtype(it.dtype).is_floating for it in model.inputs):
        return  # integers have their whole range already
    inputs = draw(model, shapes, "wide")
    try:
        outputs = outputs_of(model, inputs)
    except REFUSALS:
        return  # the model does not accept such values
    yield Rows(inputs, _scale(inputs)), outputs


def _scale(inputs: Sequence[Array]) -> float:
    """The scale of the values; 1 for normal ones and probabilities."""
    largest = [float(np.abs(it.astype(np.float64)).max()) for it in inputs if it.size]
    return max([1.0, *(value / USUAL for value in largest)])


def _distance(before: Array, after: Array) -> float:
    """The largest difference; relative to the largest output of the row if that is over 1."""
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
