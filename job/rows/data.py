"""The splits of a data set, and how rows are held out: the same rows for the same seed.

Data are often sorted by class, so the last rows are not a fair sample for validation. Rows are
drawn with the seed: sorted by class, in random order within each, and taken at even distances, so
that each class has its share to within one row. At least one row of each remains for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from job.errors import InputError
from job.rows.lazy import PART_BYTES, Array, LazyRows, Rows, between, select
from job.rows.normalization import Normalization

# More values are no classes that a sample could have a share of each of.
MAX_CLASSES = 1000
# Floats up to here hold every integer.
MAX_INDEX = 1 << 24


@dataclass(frozen=True)
class Split:
    """Rows of one split.

    ``inputs`` are in the model's order, each (rows, ...), of the dtype they are stored in, in
    memory or lazy; ``targets`` are those of the model's outputs, in its order, each (rows, ...);
    empty where there are no labels.
    """

    inputs: tuple[Rows, ...]
    targets: tuple[Array, ...]
    scale: float
    dtypes: tuple[str, ...]
    """What the model takes: integer inputs are indices and not scaled."""
    weights: tuple[Array | None, ...] = ()
    """How much rows count in the loss of each output, float32 and of a shape that broadcasts with
    (rows, ...) losses; None for 1. Empty where no output has any."""
    normalizations: tuple[Normalization | None, ...] = ()
    """What else is done to each input; empty where nothing is."""

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def is_streamed(self) -> bool:
        """Whether any rows are not in memory."""
        return any(isinstance(rows, LazyRows) for rows in self.inputs)

    def rows(self, start: int, stop: int) -> Split:
        """The rows from ``start`` to ``stop``, without copying."""
        return replace(
            self,
            inputs=tuple(between(rows, start, stop) for rows in self.inputs),
            targets=tuple(array[start:stop] for array in self.targets),
            weights=tuple(None if array is None else array[start:stop] for array in self.weights),
        )

    def some(self, rows: NDArray[np.int64]) -> Split:
        """Some rows' inputs alone; of lazy ones without reading them."""
        inputs = tuple(select(it, rows) for it in self.inputs)
        return replace(self, inputs=inputs, targets=(), weights=())

    def read(self, start: int, stop: int) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Some rows: the model's inputs, and the targets."""
        rows = slice(start, stop)
        return self.model_inputs(rows), tuple(array[rows] for array in self.targets)

    def model_inputs(self, rows: slice | NDArray[np.int64]) -> tuple[Array, ...]:
        """Some rows as the model takes them: of its dtypes, scaled and normalized."""
        return tuple(
            prepared(array[rows], dtype, self.scale, normalization)
            for array, dtype, normalization in zip(
                self.inputs, self.dtypes, self.each_normalization, strict=True
            )
        )

    @property
    def each_normalization(self) -> tuple[Normalization | None, ...]:
        """Of each input."""
        return self.normalizations or (None,) * len(self.inputs)

    def with_target_ranks(self, ranks: Sequence[int]) -> Split:
        """The same with a last axis of one added to targets of a lower rank: (rows, 1)."""
        paired = zip(self.targets, ranks, strict=bool(self.targets))
        targets = (array if array.ndim >= rank else array[..., None] for array, rank in paired)
        return replace(self, targets=tuple(targets))


def prepared(array: Array, dtype: str, scale: float, normalization: Normalization | None) -> Array:
    """Values as the model takes them."""
    if normalization is not None:
        return np.asarray(normalization.apply(array.astype(normalization.dtype, copy=False)))
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
    is_test_held_out: bool = False
    """Whether the test rows are a sample of what the manifest calls ``train``."""

    @property
    def splits(self) -> list[tuple[str, Split]]:
        """All rows, with the section of the manifest that they come from."""
        given = [("validation", self.validation)] if self.validation else []
        test = "train" if self.is_test_held_out else "test"
        return [("train", self.train), *given, (test, self.test)]

    def with_target_ranks(self, ranks: Sequence[int]) -> Dataset:
        """The same in all splits, with targets of these ranks, the rows' axis counted."""
        return replace(
            self,
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


def hold_out(dataset: Dataset, rows: int, keys: Sequence[NDArray[np.int64]], seed: int) -> Dataset:
    """Hold out a sample of the training rows.

    Arrays are changed in place: the held-out rows are moved to the end, in their order, and the
    others to the front, in theirs. A copy would double the memory for large data. Lazy rows are
    only selected.

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
    weights = [array for array in whole.weights if array is not None]
    order = np.concatenate([np.delete(np.arange(len(whole)), held), held])
    moved: dict[int, Rows] = {}
    for rows_of_one in (*whole.inputs, *whole.targets, *weights):
        if id(rows_of_one) in moved:
            continue
        if isinstance(rows_of_one, LazyRows):
            moved[id(rows_of_one)] = select(rows_of_one, order)
        else:
            _move_to_end(rows_of_one, held)
            moved[id(rows_of_one)] = rows_of_one
    whole = replace(whole, inputs=tuple(moved[id(it)] for it in whole.inputs))
    border = len(whole) - held.size
    return replace(dataset, train=whole.rows(0, border), validation=whole.rows(border, len(whole)))


def hold_out_test(
    whole: Split,
    share: float,
    seed: int,
    *,
    where: str = "dataset.test_split",
    stratify: bool = True,
) -> Dataset:
    """Hold out a sample of all rows, to test on; the arrays are changed in place, as by
    ``hold_out``.

    Args:
        whole: All rows.
        share: The part that is held out.
        seed: Determines the sample.
        where: The share's place in the manifest.
        stratify: Whether of classes that the targets name the same share of each is held out.

    Raises:
        InputError: Where no row is left to train on, or to test on.
    """
    rows = int(len(whole) * share)
    if not 0 < rows < len(whole):
        raise InputError(
            f"{where} is {share:g}, and the data set has {len(whole)} rows: none is left to "
            f"{'test' if rows == 0 else 'train'} on.",
            where=where,
            hint="Give it more rows, another share, or name a test split.",
        )
    named = whole.targets if stratify else ()
    keys = [key for targets in named if (key := _classes(targets)) is not None]
    found = hold_out(Dataset(whole, None, whole), rows, keys, seed)
    held = found.validation
    if held is None:  # each class has a single row
        raise InputError(
            "No row can be held out to test on: each class has only one.",
            where=where,
            hint="Give it more rows, or name a test split.",
        )
    return Dataset(found.train, None, held, is_test_held_out=True)


def _are_whole(values: Array) -> bool:
    """Whether they are integers, of any dtype; labels are often written as floats."""
    if values.dtype.kind != "f":
        return values.dtype.kind in "iub"
    is_small = np.abs(values) <= MAX_INDEX  # False for NaN
    return bool(is_small.all() and (values == np.rint(values)).all())


def _classes(targets: Array) -> NDArray[np.int64] | None:
    """The class of each row, where targets are class indices or one-hot rows; else None."""
    rows = len(targets)
    flat = targets.reshape(rows, -1)
    if flat.shape[1] == 1 and _are_whole(flat):
        found = flat[:, 0].astype(np.int64)
    elif 1 < flat.shape[1] <= MAX_CLASSES and ((flat == 0) | (flat == 1)).all():
        found = flat.argmax(axis=1).astype(np.int64)
    else:
        return None
    return found if len(np.unique(found)) <= min(MAX_CLASSES, rows // 2) else None


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
