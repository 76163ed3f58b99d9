"""Declared preprocessing of the model's inputs.

Steps that change the shape of rows (``shape``, ``resize``, ``one_hot``) are done when the data set
is opened; the arithmetic is done whenever a batch is read, in NumPy or inside the training graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.preprocess import PreprocessConfig
from job.result.specs import TensorSpec
from job.rows import normalization
from job.rows.lazy import PART_BYTES, Array, LazyRows, MappedRows, Rows, parts
from job.rows.store import Store

# A larger row is refused: batches of them do not fit into memory.
MAX_ROW_BYTES = 1 << 30


def matched(
    configs: Sequence[PreprocessConfig], specs: Sequence[TensorSpec]
) -> list[PreprocessConfig | None]:
    """What is done to each input, in the model's order; None where nothing is asked.

    Args:
        configs: As the manifest has them.
        specs: The model's inputs.

    Raises:
        InputError: Where an entry names no input of the model, or its arithmetic does not fit the
            input; see ``normalization.of``.
    """
    names = [spec.name for spec in specs]
    found: list[PreprocessConfig | None] = [None for _ in specs]
    for number, config in enumerate(configs):
        where = f"dataset.preprocess.{number}"
        if config.input is None and len(specs) > 1:
            raise InputError(
                f"The entry names no input, and the model has {len(specs)}: {', '.join(names)}.",
                where=f"{where}.input",
                hint="Name one of them in input.",
            )
        name = names[0] if config.input is None else config.input
        if name not in names:
            raise InputError(
                f"The model has no input {name!r}.",
                where=f"{where}.input",
                hint=f"Its inputs are: {', '.join(names)}. Name one of these.",
            )
        index = names.index(name)
        normalization.of(config, specs[index], where)
        found[index] = config
    return found


def structured(rows: Rows, config: PreprocessConfig, store: Store, where: str) -> Rows:
    """Rows after ``shape``, ``resize`` and ``one_hot``.

    Arrays in memory are changed part by part and put into the store; lazy rows are changed whenever
    they are read. Where none of these steps is asked, the rows themselves are returned.

    Args:
        rows: (rows, ...) of numbers.
        config: What is asked.
        store: Where the result of arrays in memory is put.
        where: The entry in the manifest, such as ``dataset.preprocess.0``.

    Returns:
        Rows of the shape that is asked. They are float32 after ``one_hot``, and after ``resize``
        with any interpolation but ``nearest``; else of the dtype that they have.

    Raises:
        InputError: Where rows have another number of values than ``shape``, are no images, have
            no numbers, or hold a value that ``one_hot`` has no place for.
    """
    if config.shape is None and config.resize is None and config.one_hot is None:
        return rows
    result = _checked(rows, config, where)
    if config.one_hot is not None:
        for start, part in parts(rows):
            _classes(part, config.one_hot, where, start)
    function = partial(_changed, config=config, where=where)
    if isinstance(rows, LazyRows):
        return MappedRows(rows, function)
    return _put(rows, function, result, store)


@dataclass(frozen=True)
class _RowType:
    """The rows that the steps make."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """How many bytes a row has."""
        return math.prod(self.shape) * self.dtype.itemsize


def _put(rows: Array, function: Callable[[Array], Array], result: _RowType, store: Store) -> Rows:
    """What a function makes of an array in memory, put into the store part by part."""
    writer = store.writer(
        "A preprocessed input", result.shape, result.dtype, lambda chosen: function(rows[chosen])
    )
    step = max(1, PART_BYTES // max(1, result.row_bytes, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        writer.append(function(rows[start : start + step]))
    return writer.finish()


def _checked(rows: Rows, config: PreprocessConfig, where: str) -> _RowType:
    """The rows that the steps will make; refuses rows that they can't be applied to."""
    if rows.dtype.kind not in "biuf":
        raise InputError(
            f"The values are of {rows.dtype}; preprocessing needs numbers.",
            where=where,
            hint="Store the input as numbers, or leave out its preprocessing.",
        )
    shape, dtype = rows.shape[1:], rows.dtype
    if config.shape is not None:
        _check_shape(shape, config.shape, where)
        shape = tuple(config.shape)
    if config.resize is not None:
        _check_images(shape, where)
        shape = (*config.resize, *shape[2:])
    if config.one_hot is not None:
        shape = (*shape, config.one_hot)
    if config.one_hot is not None or (config.resize and config.interpolation != "nearest"):
        dtype = np.dtype(np.float32)
    result = _RowType(shape, dtype)
    if result.row_bytes > MAX_ROW_BYTES:
        raise InputError(
            f"A preprocessed row of the shape {shape} takes {result.row_bytes:,} bytes; at most "
            f"{MAX_ROW_BYTES:,} are allowed.",
            where=where,
            hint="Lower resize or one_hot.",
        )
    return result


def _check_shape(shape: tuple[int, ...], wanted: list[int], where: str) -> None:
    if math.prod(shape) != math.prod(wanted):
        raise InputError(
            f"A row has {math.prod(shape):,} values, of the shape {shape}; the shape {wanted} has "
            f"{math.prod(wanted):,}.",
            where=f"{where}.shape",
            hint="Give a shape of as many values as a row has.",
        )


def _check_images(shape: tuple[int, ...], where: str) -> None:
    if len(shape) not in (2, 3) or 0 in shape:
        raise InputError(
            f"Rows of the shape {shape} can't be resized: they are no images of (height, width) or "
            "(height, width, channels).",
            where=f"{where}.resize",
            hint="Give shape in the same entry, or leave out resize.",
        )


def _changed(rows: Array, config: PreprocessConfig, where: str) -> Array:
    """Some rows after the steps."""
    if config.shape is not None:
        rows = rows.reshape(len(rows), *config.shape)
    if config.resize is not None:
        rows = _resized(rows, config.resize, config.interpolation)
    if config.one_hot is not None:
        classes = _classes(rows, config.one_hot, where)
        rows = np.zeros((*classes.shape, config.one_hot), np.float32)
        np.put_along_axis(rows, classes[..., None], np.float32(1), axis=-1)
    return rows


def _resized(rows: Array, size: tuple[int, int], interpolation: str) -> Array:
    images = rows[..., None] if rows.ndim == 3 else rows
    if interpolation != "nearest":
        images = images.astype(np.float32, copy=False)
    elif rows.dtype.kind == "u":
        # TensorFlow has kernels for all signed integers only. No value is changed.
        images = images.view(f"i{rows.dtype.itemsize}")
    found: Array = tf.image.resize(images, size, interpolation).numpy()
    if interpolation == "nearest":
        found = found.view(rows.dtype)
    return found[..., 0] if rows.ndim == 3 else found


def _classes(rows: Array, count: int, where: str, first: int | None = None) -> NDArray[np.int64]:
    """Values as whole numbers from 0 to below ``count``.

    Args:
        rows: (rows, ...).
        count: How many classes there are.
        where: The entry in the manifest.
        first: The index of the first row, where it is known.

    Raises:
        InputError: Where a value is not one of them; it names the first such row.
    """
    values: Any = rows
    is_class = (values >= 0) & (values < count)
    if rows.dtype.kind == "f":
        is_class &= values == np.floor(values)
    if not is_class.all():
        place = np.argwhere(~is_class)[0]
        row = "A row" if first is None else f"Row {first + place[0]}"
        raise InputError(
            f"{row} has the value {values[tuple(place)]}; one_hot is {count}, and takes whole "
            f"numbers from 0 to {count - 1}.",
            where=f"{where}.one_hot",
            hint="Raise one_hot, or correct the data.",
        )
    return values.astype(np.int64)  # type: ignore[no-any-return]
