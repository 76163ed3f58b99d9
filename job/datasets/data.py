"""A data set in memory, and batches of it: the same rows in the same order for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Split:
    """Rows of one split.

    ``inputs`` are in the model's order, each (rows, ...), of the dtype they are stored in;
    ``targets`` is (rows, ...).
    """

    inputs: tuple[Array, ...]
    targets: Array
    scale: float
    dtypes: tuple[str, ...]
    """What the model takes: integer inputs are indices and not scaled."""

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, start: int, stop: int) -> Split:
        """The rows from ``start`` to ``stop``, without copying."""
        return Split(
            tuple(array[start:stop] for array in self.inputs),
            self.targets[start:stop],
            self.scale,
            self.dtypes,
        )

    def read(self, start: int, stop: int) -> tuple[tuple[Array, ...], Array]:
        """Some rows: the model's inputs, and the targets."""
        rows = slice(start, stop)
        return self.model_inputs(rows), self.targets[rows]

    def model_inputs(self, rows: slice | NDArray[np.int64]) -> tuple[Array, ...]:
        """Some rows as the model takes them: of its dtypes, and scaled."""
        return tuple(
            _scaled(array[rows], dtype, self.scale)
            for array, dtype in zip(self.inputs, self.dtypes, strict=True)
        )


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
    """The last part of the training rows, held out; None where none was asked for."""
    test: Split

    def with_target_rank(self, rank: int) -> Dataset:
        """The same with a last axis of one added to targets that lack it: (rows,) -> (rows, 1)."""
        if self.test.targets.ndim >= rank:
            return self
        held_out = self.validation
        return Dataset(
            train=replace(self.train, targets=self.train.targets[..., None]),
            validation=held_out and replace(held_out, targets=held_out.targets[..., None]),
            test=replace(self.test, targets=self.test.targets[..., None]),
        )


def calibration_rows(rows: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Rows drawn without repetition, in rising order: min(samples, rows) of them."""
    drawn = np.random.default_rng(seed).permutation(rows)[:samples]
    return np.sort(drawn)


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches in an epoch; the last one may be smaller."""
    return -(-rows // batch_size)


def shuffled_batches(split: Split, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset:
    """All batches of all epochs, each epoch in an order of its own that the seed decides.

    Whole batches are gathered from the arrays at once, which is much faster than shuffling and
    batching single rows.

    Returns:
        Batches (inputs, targets); inputs are a tensor, or a tuple of several in the model's
        order, of the model's dtypes and scaled.
    """
    inputs = tuple(tf.constant(array) for array in split.inputs)
    targets = tf.constant(split.targets)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        random = tf.random.stateless_uniform([len(split)], seed=tf.stack([seed, number]))
        return tf.data.Dataset.from_tensor_slices(tf.argsort(random)).batch(batch_size)

    def gather(rows: tf.Tensor) -> tuple[object, tf.Tensor]:
        batch = []
        for array, dtype in zip(inputs, split.dtypes, strict=True):
            cast = tf.cast(tf.gather(array, rows), dtype)
            is_scaled = split.scale != 1 and cast.dtype.is_floating
            batch.append(cast * tf.cast(split.scale, dtype) if is_scaled else cast)
        return (batch[0] if len(batch) == 1 else tuple(batch)), tf.gather(targets, rows)

    numbers = tf.data.Dataset.range(epochs, output_type=tf.int32)
    return numbers.flat_map(epoch).map(gather, num_parallel_calls=1).prefetch(2)
