"""Rows of integers of one length, from lists of all lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from job.rows.lazy import PART_BYTES, Array, Rows
from job.rows.store import Store

MAX_PART_ROWS = 1 << 14


class PaddedRows:
    """Takes rows one by one, and writes them part by part.

    Args:
        store: Where they are put.
        name: What they are called in messages.
        length: The integers of a row.
    """

    def __init__(self, store: Store, name: str, length: int) -> None:
        self._rows = store.writer(name, (length,), np.dtype(np.int32))
        step = max(1, min(MAX_PART_ROWS, PART_BYTES // (4 * length)))
        self._part = np.zeros((step, length), np.int32)
        self._used = 0

    def append(self, integers: Sequence[int] | Array, start: int) -> None:
        """Add a row: zeros, and these integers from the index ``start`` on."""
        self._part[self._used, start : start + len(integers)] = integers
        self._used += 1
        if self._used == len(self._part):
            self._flush()

    def finish(self) -> Rows:
        """All rows: (rows, length), int32."""
        self._flush()
        return self._rows.finish()

    def _flush(self) -> None:
        self._rows.append(self._part[: self._used])  # it copies what stays in memory
        self._part[: self._used] = 0
        self._used = 0
