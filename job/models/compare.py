"""Whether two models answer the same, of Keras 2 or 3, on seeded random inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.models.random_layers import equal_draws

# Answers may differ by this much, for sums in another order.
TOLERANCE = 1e-5
SEED = 20240628
ROWS = 2
# What a None dimension is; a model that is too deep for the first is tried with the next.
SIZES = (32, 128, 320)

Array = NDArray[np.generic]
T = TypeVar("T")


def difference(first: Any, second: Any) -> float:
    """The largest difference between the answers of two models with the same inputs.

    Returns:
        In the outputs' own unit; NaN where one answers NaN and the other does not.

    Raises:
        Exception: What Keras or TensorFlow raises, where a model can't be called.
    """
    before, after = on_random_inputs(first, lambda it: (answers(first, it), answers(second, it)))
    return max((_distance(a, b) for a, b in zip(before, after, strict=True)), default=0.0)


def first_different(names: Sequence[str], before: Sequence[Array], after: Sequence[Array]) -> str:
    """The first of several results, in order, that differs; empty where none does."""
    for name, a, b in zip(names, before, after, strict=True):
        if not _distance(a, b) <= TOLERANCE:
            return name
    return ""


def on_random_inputs(model: Any, use: Callable[[list[Array]], T]) -> T:
    """Call ``use`` with seeded random inputs for a model, in its order."""
    for size in SIZES:
        try:
            return use(_random_inputs(model, size))
        except (ValueError, tf.errors.InvalidArgumentError):
            if size == SIZES[-1] or not _has_open_dimensions(model):
                raise
    raise AssertionError("the last size returns or raises")


def answers(model: Any, inputs: Sequence[Array]) -> list[Array]:
    """A model's outputs, one after the other, for its inputs, one after the other."""
    given = tf.nest.pack_sequence_as(graph_of(model).input, list(inputs))
    with equal_draws(model):
        return [np.asarray(it) for it in tf.nest.flatten(model(given, training=False))]


def graph_of(model: Any) -> Any:
    """The functional model; Keras 3 wraps that of a Sequential."""
    return getattr(model, "_functional", None) or model


def _distance(before: Array, after: Array) -> float:
    a, b = before.astype(np.float64), after.astype(np.float64)
    return float(np.where(np.isnan(a) & np.isnan(b), 0, np.abs(a - b)).max()) if a.size else 0.0


def _has_open_dimensions(model: Any) -> bool:
    return any(None in tuple(it.shape[1:]) for it in model.inputs)


def _random_inputs(model: Any, size: int) -> list[Array]:
    random = np.random.default_rng(SEED)
    vocabulary = min((it.input_dim for it in _embeddings(model)), default=None)
    inputs = []
    for tensor in model.inputs:
        shape = [ROWS, *(known or size for known in tensor.shape[1:])]
        drawn = random.integers(0, vocabulary, shape) if vocabulary else random.random(shape)
        inputs.append(drawn.astype(tf.as_dtype(tensor.dtype).as_numpy_dtype))
    return inputs


def _embeddings(model: Any) -> list[Any]:
    return [
        it
        for it in model._flatten_layers()  # noqa: SLF001 - public API has no walk
        if type(it).__name__ == "Embedding"
    ]
