"""A data set in memory, and batches of it: the same rows in the same order for the same seed.

Data are often sorted by class, so the last rows are not a fair sample for validation. Rows are
drawn with the seed: sorted by class, in random order within each, and taken at even distances, so
that each class has its share to within one row. At least one row of each remains for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.errors import InputError

Array = NDArray[np.generic]
# Arrays are read and moved in parts of this many bytes.
PART_BYTES = 1 << 26


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


def hold_out(dataset: Dataset, rows: int, keys: Sequence[NDArray[np.int64]], seed: int) -> Dataset:
    """Hold out a sample of the training rows.

    The arrays are changed in place: the held-out rows are moved to the end, in their order, and the
    others to the front, in theirs. A copy would double the memory for large data.

    Args:
        dataset: All rows; nothing is held out yet. Arrays that share memory must be one object.
        rows: How many to hold out; fewer where a class would lose its last row.
        keys: Each (rows,), to stratify by, such as the classes of an output.
        seed: Determines the sample.

    Raises:
        InputError: Where no rows are left to train on.
    """
    whole = dataset.train
    if rows >= len(whole):
        raise InputError(
            "The data set has no rows to train on.",
            where="training.validation_split",
            hint="Give it rows, or lower training.validation_split.",
        )
    held = sample(len(whole), rows, keys, seed)
    if not held.size:
        return dataset
    weights = [it for it in whole.weights if it is not None]
    for array in {id(it): it for it in (*whole.inputs, *whole.targets, *weights)}.values():
        _move_to_end(array, held)
    border = len(whole) - held.size
    return Dataset(
        train=whole.rows(0, border), validation=whole.rows(border, len(whole)), test=dataset.test
    )


def sample(
    total: int, rows: int, keys: Sequence[NDArray[np.int64]], seed: int
) -> NDArray[np.int64]:
    """A sample of at most ``rows`` of ``total`` rows, in rising order. It leaves out at least one
    row of each value of each key.
    """
    random = np.random.default_rng([seed, total])
    shuffled = random.permutation(total)
    protected = np.zeros(total, bool)
    for key in keys:
        protected[shuffled[np.unique(key[shuffled], return_index=True)[1]]] = True
    rank = np.empty(total, np.int64)
    rank[shuffled] = np.arange(total)
    order = np.lexsort((rank, *reversed(keys)))  # by the first key, then the next
    eligible = order[~protected[order]]
    rows = min(rows, eligible.size)
    places = ((np.arange(rows) + 0.5) * eligible.size / max(1, rows)).astype(np.int64)
    return np.sort(eligible[places])


def _move_to_end(array: Array, held: NDArray[np.int64]) -> None:
    """Move the rows ``held``, in rising order, to the end, and the others to the front."""
    last = array[held]
    staying = np.delete(np.arange(len(array)), held)
    step = max(1, PART_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(staying), step):  # a row never overwrites an unread one
        part = staying[start : start + step]
        array[start : start + len(part)] = array[part]
    array[len(staying) :] = last
