"""Batches of a split for a training graph: the same rows in the same order for the same seed,
whether they are in memory or read while the model trains.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job import machine
from job.manifest.preprocess import AugmentConfig
from job.rows.augment import augmented
from job.rows.data import Split
from job.rows.lazy import LazyRows
from job.rows.normalization import Normalization

# So many batches are read ahead.
AHEAD = 4
# Tells one order of the rows from another by its first ones.
SPREAD = (1, 31, 961, 29_791, 923_521, 28_629_151, 887_503_681)


class InputSource(Protocol):
    """Where the rows of one input come from."""

    def gather(self, rows: tf.Tensor, upcoming: tf.Tensor) -> tf.Tensor:
        """Rows as they are stored, in a graph.

        Args:
            rows: Indices of the rows of this batch: (n,) int32.
            upcoming: The same, and those of some batches after it.
        """


@dataclass(frozen=True)
class InMemory:
    """An array, which is handed to TensorFlow once.

    A batch is gathered inside the training graph. A ``tf.data`` pipeline beside it takes a third
    more time for small models: its threads and the training's wait for each other.
    """

    array: tf.Tensor

    def gather(self, rows: tf.Tensor, upcoming: tf.Tensor) -> tf.Tensor:  # noqa: ARG002 - the array is in memory
        """These rows."""
        return tf.gather(self.array, rows)


class Streamed:
    """Lazy rows: threads read the next batches while the model trains on this one.

    What was read ahead is found again by its rows' indices, so nothing depends on how far a
    training has come: one that goes on in the middle reads what it would have read.
    """

    def __init__(self, rows: LazyRows, batch_size: int, threads: int) -> None:
        self._rows, self._batch_size = rows, batch_size
        self._pool = ThreadPoolExecutor(threads)
        self._ahead: dict[bytes, Future[Any]] = {}

    def gather(self, rows: tf.Tensor, upcoming: tf.Tensor) -> tf.Tensor:
        """These rows."""
        found = tf.numpy_function(
            self._read, [rows, upcoming], tf.as_dtype(self._rows.dtype), stateful=False
        )
        found.set_shape([None, *self._rows.shape[1:]])
        return found

    def _read(self, rows: NDArray[np.int32], upcoming: NDArray[np.int32]) -> Any:
        ahead = {}
        for start in (0, *range(len(rows), len(upcoming), self._batch_size)):
            stop = start + self._batch_size if start else len(rows)
            batch = upcoming[start:stop]
            key = batch.tobytes()
            ahead[key] = self._ahead.get(key) or self._pool.submit(
                self._rows.take, batch.astype(np.int64)
            )
        self._ahead = ahead
        return ahead.pop(rows.tobytes()).result()


@dataclass(frozen=True)
class Augmentation:
    """The images that are changed, and how."""

    input: int
    """The model's input, by its place."""
    config: AugmentConfig


@dataclass(frozen=True)
class Batches:
    """The batches of a split, in an order of its own for each epoch, that the seed decides."""

    inputs: tuple[InputSource, ...]
    rows: int
    targets: tuple[tf.Tensor, ...]
    scale: float
    dtypes: tuple[str, ...]
    normalizations: tuple[Normalization | None, ...]
    batch_size: int
    seed: int
    row_weights: tuple[tf.Tensor, ...] = ()
    """Of each output; empty where no row has any."""
    augmentation: Augmentation | None = None

    def order(self, epoch: int) -> tf.Tensor:
        """The rows in the order of this epoch: (rows,) int32, a permutation."""
        return tf.argsort(tf.random.stateless_uniform([self.rows], seed=[self.seed, epoch]))

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[Any, tuple[tf.Tensor, ...]]:
        """The batch of a step (from 0) of an epoch; the last one may be smaller.

        Returns:
            Inputs and targets, in the model's order. Inputs are a tensor, or a tuple of several, of
            the model's dtypes, scaled and normalized; targets are a tuple.
        """
        rows = self._rows(order, step)
        upcoming = self._rows(order, step, AHEAD)
        batch = [
            _prepared(source.gather(rows, upcoming), dtype, self.scale, normalization)
            for source, dtype, normalization in zip(
                self.inputs, self.dtypes, self.normalizations, strict=True
            )
        ]
        changed = self.augmentation
        if changed is not None:
            # An epoch is known by its order; int32 may overflow.
            first = order[: len(SPREAD)]
            epoch = tf.reduce_sum(first * tf.constant(SPREAD)[: tf.size(first)])
            seed = tf.stack([epoch + self.seed, step])
            batch[changed.input] = augmented(batch[changed.input], changed.config, seed)
        targets = tuple(tf.gather(array, rows) for array in self.targets)
        return (batch[0] if len(batch) == 1 else tuple(batch)), targets

    def weights(self, order: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """How much the rows of that batch count in the loss of each output; empty for 1."""
        rows = self._rows(order, step)
        return tuple(tf.gather(array, rows) for array in self.row_weights)

    def _rows(self, order: tf.Tensor, step: tf.Tensor, ahead: int = 0) -> tf.Tensor:
        first = step * self.batch_size
        return order[first : tf.minimum(first + (1 + ahead) * self.batch_size, tf.size(order))]


def _prepared(
    values: tf.Tensor, dtype: str, scale: float, normalization: Normalization | None
) -> tf.Tensor:
    """As ``data.prepared``, in a graph."""
    if normalization is not None:
        return normalization.apply(tf.cast(values, normalization.dtype))
    cast = tf.cast(values, dtype)
    is_scaled = scale != 1 and cast.dtype.is_floating
    return cast * tf.cast(scale, dtype) if is_scaled else cast


def shuffled_batches(
    split: Split, batch_size: int, seed: int, augmentation: Augmentation | None = None
) -> Batches:
    """The batches of a split; arrays in memory are handed to TensorFlow once."""
    size = min(batch_size, len(split))
    return Batches(
        inputs=tuple(
            Streamed(rows, size, machine.cores())
            if isinstance(rows, LazyRows)
            else InMemory(tf.constant(rows))
            for rows in split.inputs
        ),
        rows=len(split),
        targets=tuple(tf.constant(array) for array in split.targets),
        scale=split.scale,
        dtypes=split.dtypes,
        normalizations=split.each_normalization,
        batch_size=size,
        seed=seed,
        row_weights=tuple(
            tf.constant(np.ones(len(split), np.float32) if array is None else array)
            for array in split.weights
        ),
        augmentation=augmentation,
    )
