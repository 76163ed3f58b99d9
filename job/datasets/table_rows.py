"""The columns of an array, part by part -> its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from job.datasets.source import Source
from job.datasets.table_columns import EXACT, CellError, Span
from job.datasets.table_plan import Slot
from job.rows.lazy import Array, Rows
from job.rows.store import RowWriter

# float32 has all whole numbers up to this.
FLOAT32_WHOLE = 2**24


class SlotRows:
    """Takes the columns of an array, and gives its rows back.

    Args:
        slot: The array.
        source: Where inputs are put; targets and weights stay in memory.
        span: The numbers of all its columns; None where there are no rows.
    """

    def __init__(self, slot: Slot, source: Source, span: Span | None) -> None:
        self.slot = slot
        self.warnings: list[str] = []
        self._source = source
        self._rounded: set[str] = set()
        self._shape: tuple[int, ...] | None = None
        self._writer: RowWriter | None = None
        self._parts: list[Array] = []
        self.held_bytes = 0
        """Of the rows that stay in memory, when they are finished."""
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        if span is not None and span.is_whole and slot.role != "weights":
            self._dtype = span.dtype if slot.role == "inputs" else np.dtype(np.int64)

    def append(self, cells: Mapping[str, Array]) -> None:
        """Add the rows of a part.

        Args:
            cells: Of each column, (n, ...); no cell is empty.

        Raises:
            CellError: Where rows have another shape than before, or a number is too large.
            InputError: Where there is no room for them.
        """
        part = self._stacked([cells[name] for name in self.slot.columns])
        if self._shape is None:
            self._shape = part.shape[1:]
        elif part.shape[1:] != self._shape:
            raise CellError(
                0,
                f"The row has the shape {part.shape[1:]}, and those before have {self._shape}.",
                "Pad or cut lists to one length.",
            )
        if self.slot.role == "weights" and part.ndim > 1:
            raise CellError(
                0, "The weight is not a single number.", "Name a column of plain numbers."
            )
        if self.slot.role != "inputs":
            self.held_bytes += part.nbytes
            self._parts.append(_compact(part))
            return
        if self._writer is None:
            name = f"{self.slot.where} ({self._source.inputs[self.slot.index].name})"
            self._writer = self._source.store.writer(name, self._shape, self._dtype)
        self._writer.append(part)

    def finish(self) -> Rows:
        """All rows: (rows, ...)."""
        if self._writer is not None:
            return self._writer.finish()
        if not self._parts:
            return np.empty(0, self._dtype)
        return np.concatenate(self._parts, dtype=self._dtype)

    def _stacked(self, columns: Sequence[Array]) -> Array:
        names = self.slot.columns
        first = columns[0]
        if not self.slot.is_stack or (len(columns) == 1 and first.ndim > 1):
            is_row = first.ndim == 1 and self.slot.role == "inputs"
            values = self._cast(first, names[0])
            return values[:, None] if is_row and self._has_axis else values
        for name, column in zip(names, columns, strict=True):
            if column.ndim > 2:
                raise CellError(
                    0,
                    f"{name!r} has lists of lists, and is one of several columns.",
                    "Such a column can be an input only by itself.",
                )
        widths = [1 if column.ndim == 1 else column.shape[1] for column in columns]
        found = np.empty((len(first), sum(widths)), self._dtype)
        start = 0
        for name, column, width in zip(names, columns, widths, strict=True):
            found[:, start : start + width] = self._cast(column, name).reshape(-1, width)
            start += width
        return found

    @property
    def _has_axis(self) -> bool:
        return len(self._source.inputs[self.slot.index].shape) > 0

    def _cast(self, values: Array, name: str) -> Array:
        """Numbers in the array's dtype."""
        if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
            row = int(values.reshape(len(values), -1).max(axis=1).argmax())
            raise CellError(
                row,
                f"A number of {name!r} is too large for 64 bits with a sign.",
                "Store floats.",
                name,
            )
        with np.errstate(over="ignore", invalid="ignore"):
            found = values.astype(self._dtype)
        if self._dtype.kind == "f":
            self._check_rounding(values, found, name)
        return found

    def _check_rounding(self, values: Array, found: Array, name: str) -> None:
        """Warn of whole numbers that float32 rounds, and refuse what it does not hold at all."""
        if not values.size or values.dtype.itemsize < 4:
            return
        size = np.abs(values.astype(np.float64))
        if not (size > FLOAT32_WHOLE).any():
            return
        is_lost = np.isinf(found) & ~np.isinf(size)
        if is_lost.any():
            row = int(is_lost.reshape(len(values), -1).any(axis=1).argmax())
            raise CellError(
                row,
                f"{values.reshape(-1)[int(is_lost.reshape(-1).argmax())]:g} is too large for "
                "float32.",
                "Scale the column.",
                name,
            )
        if name in self._rounded or values.dtype == np.float32:
            return
        is_whole = bool((np.floor(size) == size).all())
        is_rounded = (size >= EXACT) | (found.astype(np.float64) != values.astype(np.float64))
        if is_whole and is_rounded[size > FLOAT32_WHOLE].any():
            self._rounded.add(name)
            self.warnings.append(
                f"{self.slot.where}: whole numbers of {name} are over 2^24 ({size.max():.0f}), and "
                "float32 rounds them. Name the column alone, or give smaller numbers"
            )


def _compact(part: Array) -> Array:
    """Whole numbers in the smallest dtype: all parts are in memory once more when joined."""
    span = Span.of_values(part)
    return part if span is None or part.dtype.kind == "f" else part.astype(span.dtype)
