"""Hold out a sample of the training rows, for validation.

Data are often sorted by class, so the last rows are not a fair sample. Rows are drawn with the
seed: sorted by class, in random order within each, and taken at even distances, so that each class
has its share to within one row. At least one row of each class remains for training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from job.datasets.data import Array, Dataset
from job.errors import InputError

# Rows are moved in parts of this many bytes.
PART_BYTES = 1 << 26


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
        train=whole.rows(0, border),
        validation=whole.rows(border, len(whole)),
        test=dataset.test,
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
