"""A data set in memory, and batches of it: the same rows in the same order for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Split:
    """Rows of one split.

    ``inputs`` are in the model's order, each (rows, ...), of the dtype they are stored in;
    ``targets`` are those of the model's outputs, in its order, each (rows, ...).
    """

    inputs: tuple[Array, ...]
    targets: tuple[Array, ...]
    scale: float
    dtypes: tuple[str, ...]
    """What the model takes: integer inputs are indices and not scaled."""
    weights: tuple[Array | None, ...] = ()
    """How much rows count in the loss of each output, float32 and of a shape that broadcasts with
    (rows, ...) losses; None for 1. Empty where no output has any."""

    def __len__(self) -> int:
        return len(self.targets[0])

    def rows(self, start: int, stop: int) -> Split:
        """The rows from ``start`` to ``stop``, without copying."""
        return Split(
            tuple(array[start:stop] for array in self.inputs),
            tuple(array[start:stop] for array in self.targets),
            self.scale,
            self.dtypes,
            tuple(None if array is None else array[start:stop] for array in self.weights),
        )

    def read(self, start: int, stop: int) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Some rows: the model's inputs, and the targets."""
        rows = slice(start, stop)
        return self.model_inputs(rows), tuple(array[rows] for array in self.targets)

    def model_inputs(self, rows: slice | NDArray[np.int64]) -> tuple[Array, ...]:
        """Some rows as the model takes them: of its dtypes, and scaled."""
        return tuple(
            _scaled(array[rows], dtype, self.scale)
            for array, dtype in zip(self.inputs, self.dtypes, strict=True)
        )

    def with_target_ranks(self, ranks: Sequence[int]) -> Split:
        """The same with a last axis of one added to targets of a lower rank: (rows, 1)."""
        paired = zip(self.targets, ranks, strict=True)
        targets = (array if array.ndim >= rank else array[..., None] for array, rank in paired)
        return replace(self, targets=tuple(targets))


def _scaled(array: Array, dtype: str, scale: float) -> Array:
    cast = array.astype(dtype, copy=False)
    if scale == 1 or not np.issubdtype(cast.dtype, np.floating):
        return cast
    return np.asarray(cast * cast.dtype.type(scale))


@dataclass(frozen=True)
class Dataset:
    """What the model is trained, validated and measured on."""

    train: Split
    validation: Split | None
    """A sample of the training rows, held out; None where none is."""
    test: Split

    def with_target_ranks(self, ranks: Sequence[int]) -> Dataset:
        """The same in all splits, with targets of these ranks, the rows' axis counted."""
        return Dataset(
            train=self.train.with_target_ranks(ranks),
            validation=self.validation and self.validation.with_target_ranks(ranks),
            test=self.test.with_target_ranks(ranks),
        )


def calibration_rows(rows: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Rows drawn without repetition, in rising order: min(samples, rows) of them."""
    drawn = np.random.default_rng(seed).permutation(rows)[:samples]
    return np.sort(drawn)


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches in an epoch; the last one may be smaller."""
    return -(-rows // batch_size)


@dataclass(frozen=True)
class Batches:
    """The batches of a split, in an order of its own for each epoch, that the seed decides.

    A batch is gathered from the arrays inside the training graph. A ``tf.data`` pipeline beside it
    takes a third more time for small models: its threads and the training's wait for each other.
    """

    inputs: tuple[tf.Tensor, ...]
    targets: tuple[tf.Tensor, ...]
    scale: float
    dtypes: tuple[str, ...]
    batch_size: int
    seed: int
    row_weights: tuple[tf.Tensor, ...] = ()
    """Of each output; empty where no row has any."""

    def order(self, epoch: int) -> tf.Tensor:
        """The rows in the order of this epoch: (rows,) int32, a permutation."""
        rows = tf.shape(self.targets[0])[:1]
        return tf.argsort(tf.random.stateless_uniform(rows, seed=[self.seed, epoch]))

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[Any, tuple[tf.Tensor, ...]]:
        """The batch of a step (from 0) of an epoch; the last one may be smaller.

        Returns:
            Inputs and targets, in the model's order. Inputs are a tensor, or a tuple of several, of
            the model's dtypes and scaled; targets are a tuple.
        """
        rows = self._rows(order, step)
        batch = []
        for array, dtype in zip(self.inputs, self.dtypes, strict=True):
            cast = tf.cast(tf.gather(array, rows), dtype)
            is_scaled = self.scale != 1 and cast.dtype.is_floating
            batch.append(cast * tf.cast(self.scale, dtype) if is_scaled else cast)
        targets = tuple(tf.gather(array, rows) for array in self.targets)
        return (batch[0] if len(batch) == 1 else tuple(batch)), targets

    def weights(self, order: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """How much the rows of that batch count in the loss of each output; empty for 1."""
        rows = self._rows(order, step)
        return tuple(tf.gather(array, rows) for array in self.row_weights)

    def _rows(self, order: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        first = step * self.batch_size
        return order[first : tf.minimum(first + self.batch_size, tf.size(order))]


def shuffled_batches(split: Split, batch_size: int, seed: int) -> Batches:
    """The batches of a split; its arrays are handed to TensorFlow once."""
    return Batches(
        inputs=tuple(tf.constant(array) for array in split.inputs),
        targets=tuple(tf.constant(array) for array in split.targets),
        scale=split.scale,
        dtypes=split.dtypes,
        batch_size=min(batch_size, len(split)),
        seed=seed,
        row_weights=tuple(
            tf.constant(np.ones(len(split), np.float32) if array is None else array)
            for array in split.weights
        ),
    )
