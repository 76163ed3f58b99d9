"""Rows of a split, in memory or not. How they get onto the scratch disk: ``store.py``.

A split's inputs are arrays, or lazy rows, which look like an array: ``shape``, ``dtype``, ``len``,
and ``rows[start:stop]`` or ``rows[indices]``, which give an array. Files are read by ``pread`` and
not mapped: mapped pages count as the process's memory.
"""

from __future__ import annotations

import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import InputError

Array = NDArray[np.generic]
Indices = NDArray[np.int64]
# Arrays are read and moved in parts of this many bytes.
PART_BYTES = 1 << 24


class LazyRows(ABC):
    """Rows that are read when they are asked for; ``take`` may be called by several threads."""

    shape: tuple[int, ...]
    """(rows, ...)."""
    dtype: np.dtype[Any]
    """In this machine's byte order."""
    part_limit: int = sys.maxsize
    """At most so many are read at once, where they are made from larger rows."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Indices) -> Array:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)), dtype=np.int64)
        return self.take(np.asarray(rows, np.int64))

    @property
    def ndim(self) -> int:
        """How many axes, the rows' one counted."""
        return len(self.shape)

    @abstractmethod
    def take(self, rows: Indices) -> Array:
        """These rows: (len(rows), ...)."""


Rows = Array | LazyRows


class StoredRows(LazyRows):
    """Rows in a file, one behind the other in C order.

    Args:
        path: The file.
        shape: (rows, ...).
        dtype: As it is in the file; any byte order. Booleans become uint8.
        offset: The bytes before the first row.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0
    ) -> None:
        self.shape = shape
        self.dtype = in_memory(dtype)
        self.path = path
        self._stored, self._offset = dtype, offset
        self._row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        self._file = path.open("rb", buffering=0)

    def take(self, rows: Indices) -> Array:
        """These rows.

        Raises:
            InputError: Where the file has become shorter.
        """
        found = np.empty((len(rows), *self.shape[1:]), self._stored)
        if not found.size:
            return found.astype(self.dtype, copy=False)
        bytes_of = memoryview(found.reshape(-1).view(np.uint8).data)
        size = self._row_bytes
        for start, stop in _runs(rows):
            place, begin = start * size, self._offset + int(rows[start]) * size
            end = stop * size
            while place < end:
                more = os.preadv(self._file.fileno(), [bytes_of[place:end]], begin)
                if not more:
                    raise InputError(
                        "The data set's file has become shorter while it was read.",
                        where=str(self.path),
                        hint="Run again once nothing writes to it.",
                    )
                place, begin = place + more, begin + more
        return (
            found.view(np.uint8)
            if self._stored.kind == "b"
            else found.astype(self.dtype, copy=False)
        )


class SelectedRows(LazyRows):
    """Some rows of others, in an order of their own."""

    def __init__(self, rows: LazyRows, chosen: Indices) -> None:
        self._rows, self._chosen = rows, chosen
        self.shape, self.dtype = (len(chosen), *rows.shape[1:]), rows.dtype
        self.part_limit = rows.part_limit

    def take(self, rows: Indices) -> Array:
        """These rows."""
        return self._rows.take(self._chosen[rows])


class MappedRows(LazyRows):
    """What a function makes of rows: (n, ...) -> (n, ...)."""

    def __init__(self, rows: Rows, function: Callable[[Array], Array]) -> None:
        self._rows, self._function = rows, function
        self.part_limit = part_rows(rows)
        first = function(rows[0:1])
        self.shape, self.dtype = (len(rows), *first.shape[1:]), first.dtype

    def take(self, rows: Indices) -> Array:
        """These rows."""
        return self._function(self._rows[rows])


class CachedRows(LazyRows):
    """The first rows from the scratch disk, the others decoded whenever they are asked for."""

    def __init__(self, stored: StoredRows, rows: int, decode: Callable[[Indices], Array]) -> None:
        self._stored, self._decode = stored, decode
        self.shape, self.dtype = (rows, *stored.shape[1:]), stored.dtype

    def take(self, rows: Indices) -> Array:
        """These rows."""
        is_stored = rows < len(self._stored)
        if is_stored.all():
            return self._stored.take(rows)
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        found[is_stored] = self._stored.take(rows[is_stored])
        found[~is_stored] = self._decode(rows[~is_stored])
        return found


def rows_of_columns(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0
) -> Iterator[Array]:
    """The rows of an array that is in a file in Fortran order, in parts that fit into memory; see
    ``StoredRows``.
    """
    rows, *row_shape = shape
    values = math.prod(row_shape)
    stored = StoredRows(path, (values * rows,), dtype, offset)
    step = max(1, PART_BYTES // max(1, values * dtype.itemsize))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        part = np.empty((values, stop - start), stored.dtype)
        for index in range(values):
            part[index] = stored[index * rows + start : index * rows + stop]
        yield part.reshape(*reversed(row_shape), stop - start).T


def whole(rows: Rows) -> Array:
    """All rows, in memory; an array itself, as what shares memory must be one object."""
    return rows[:] if isinstance(rows, LazyRows) else rows


def in_memory(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of an array in memory: TensorFlow takes this machine's byte order only, and
    booleans are uint8.
    """
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def part_rows(rows: Rows) -> int:
    """How many rows are a part: of the rows themselves, and of what they are made from."""
    row_bytes = int(np.prod(rows.shape[1:], dtype=np.int64)) * rows.dtype.itemsize
    own = max(1, PART_BYTES // max(1, row_bytes))
    return min(own, rows.part_limit) if isinstance(rows, LazyRows) else own


def parts(rows: Rows) -> Iterator[tuple[int, Array]]:
    """All rows in parts that fit into memory: the first row's index, and the part."""
    step = part_rows(rows)
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]


def select(rows: Rows, chosen: Indices) -> Rows:
    """Some rows: of lazy ones without reading them."""
    return SelectedRows(rows, chosen) if isinstance(rows, LazyRows) else rows[chosen]


def between(rows: Rows, start: int, stop: int) -> Rows:
    """The rows from ``start`` to ``stop``, without copying or reading them."""
    if isinstance(rows, LazyRows):
        return SelectedRows(rows, np.arange(*slice(start, stop).indices(len(rows)), dtype=np.int64))
    return rows[start:stop]


def _runs(rows: Indices) -> Iterator[tuple[int, int]]:
    """Where consecutive indices begin and end in the list of them."""
    if not len(rows):
        return
    borders = np.flatnonzero(np.diff(rows) != 1) + 1
    yield from zip([0, *borders.tolist()], [*borders.tolist(), len(rows)], strict=True)
