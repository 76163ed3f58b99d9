"""Integers that go to an Embedding must be its rows; else TensorFlow fails in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from job.errors import InputError
from job.models.random_inputs import indexed_inputs
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split, prepared
from job.rows.lazy import parts


def check_indices(
    model: Any, dataset: Dataset, inputs: list[TensorSpec], hint: Callable[[], str]
) -> None:
    """Refuse rows that have an integer for which the model's Embedding has no row.

    An input may reach an Embedding through layers that change it, or not at all. So the model is
    run on the row, and only what it fails with is refused.

    Args:
        model: The model.
        dataset: All rows.
        inputs: The model's inputs, in its order.
        hint: Says what to do; called where rows are refused.

    Raises:
        InputError: With the row, the value and the Embedding's rows.
    """
    for index, size in enumerate(indexed_inputs(model)):
        for which, split in dataset.splits if size else ():
            for row, value in _outside(split, index, size):
                if not _fails(model, split, row):
                    continue
                # Rows that are held out were moved.
                is_moved = dataset.is_test_held_out and which != "validation"
                place = "A row" if is_moved else f"Row {row:,} (from 0)"
                raise InputError(
                    f"{place} has {value:g}; the Embedding that the input goes to has {size:,} "
                    f"rows: 0 to {size - 1:,}.",
                    where=f"dataset.{'train' if is_moved else which}.inputs ({inputs[index].name})",
                    hint=hint(),
                )


def _outside(split: Split, index: int, size: int) -> list[tuple[int, float]]:
    """The rows with the lowest and the highest value of an input, where they are no indices."""
    dtype, normalization = split.dtypes[index], split.each_normalization[index]
    low, high = (0, 0.0), (0, 0.0)
    for start, part in parts(split.inputs[index]):
        values = prepared(part, dtype, split.scale, normalization).reshape(len(part), -1)
        lowest, highest = values.min(axis=1), values.max(axis=1)
        if lowest.min() < low[1]:
            low = (start + int(lowest.argmin()), lowest.min().item())
        if highest.max() > high[1]:
            high = (start + int(highest.argmax()), highest.max().item())
    # Embeddings truncate fractions.
    return [(row, value) for row, value in (high, low) if not -1 < value < size]


def _fails(model: Any, split: Split, row: int) -> bool:
    """Whether the model refuses a row."""
    try:
        model([np.asarray(it) for it in split.model_inputs(slice(row, row + 1))], training=False)
    except tf.errors.InvalidArgumentError:
        return True
    return False
