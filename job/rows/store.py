"""How rows get into memory while there is room, then onto the scratch disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from job.errors import InputError
from job.rows.lazy import Array, CachedRows, Indices, Rows, StoredRows, in_memory

# What stays free on the scratch disk.
RESERVE_BYTES = 256 << 20


@dataclass
class Store:
    """Where rows are put: into memory while there is room, then onto the scratch disk."""

    folder: Path
    """Of the scratch disk; it is there."""
    memory_bytes: int
    """What is left."""
    cache_bytes: int
    """What is left."""
    files: int = field(default=0, init=False)

    def writer(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        decode: Callable[[Indices], Array] | None = None,
    ) -> RowWriter:
        """A writer of rows.

        Args:
            name: What they are called in messages.
            shape: Of a row.
            dtype: Of the values.
            decode: Gives rows by their index once all have been seen; where there is no room for
                them, they are decoded again each time. None: they can't be.
        """
        return RowWriter(self, name, shape, in_memory(dtype), decode)

    def new_file(self) -> Path:
        """A path on the scratch disk that is not used yet."""
        while True:
            self.files += 1
            path = self.folder / f"{self.files}.rows"
            if not path.exists():
                return path

    def scratch_file(self, size: int) -> Path:
        """A path for so many bytes, which do not stay.

        Raises:
            InputError: Where there is no room for them.
        """
        if not self.has_room(size):
            raise no_room(f"What is unpacked for a while, {size:,} bytes,")
        return self.new_file()

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may be put onto the disk."""
        return (
            size <= self.cache_bytes and size + RESERVE_BYTES <= shutil.disk_usage(self.folder).free
        )


class RowWriter:
    """Takes rows in their order, part by part; ``finish`` gives them back as one."""

    def __init__(
        self,
        store: Store,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        decode: Callable[[Indices], Array] | None,
    ) -> None:
        self._store, self._name, self._shape, self._dtype = store, name, shape, dtype
        self._decode = decode
        self._parts: list[Array] = []
        self._path: Path | None = None
        self._rows = self._stored = 0
        self.is_full = False
        """Whether further rows are only counted, and will be decoded again."""

    def append(self, rows: Array) -> None:
        """Add rows: (n, ...), copied where they stay in memory.

        Raises:
            InputError: Where there is no room for them, and they can't be decoded again.
        """
        part = np.ascontiguousarray(rows, self._dtype)
        self._rows += len(part)
        if self.is_full:
            return
        if self._path is None and part.nbytes <= self._store.memory_bytes:
            self._store.memory_bytes -= part.nbytes
            self._parts.append(part.copy() if np.may_share_memory(part, rows) else part)
            self._stored = self._rows
            return
        if self._path is None:
            self._path = self._store.new_file()
            self._path.touch(exist_ok=False)  # rows are added to its end
            parts, self._parts = self._parts, []
            self._stored = 0
            for it in parts:
                self._store.memory_bytes += it.nbytes
                self._write(it)
        self._write(part)

    def _write(self, part: Array) -> None:
        if self.is_full:  # a smaller part would come to lie in the place of one that did not fit
            return
        if not self._store.has_room(part.nbytes):
            if self._decode is None:
                raise no_room(self._name)
            self.is_full = True
            return
        assert self._path is not None  # it is set first
        with self._path.open("ab") as file:
            file.write(part.data)
        self._store.cache_bytes -= part.nbytes
        self._stored += len(part)

    def finish(self) -> Rows:
        """All rows that were added."""
        shape = (self._rows, *self._shape)
        if self._path is None:
            parts, self._parts = self._parts, []
            return np.concatenate(parts) if parts else np.empty(shape, self._dtype)
        stored = StoredRows(self._path, (self._stored, *self._shape), self._dtype)
        if self._stored == self._rows:
            return stored
        assert self._decode is not None  # else append has raised
        return CachedRows(stored, self._rows, self._decode)


def no_room(name: str) -> InputError:
    """The error of what the scratch disk has no room for."""
    return InputError(
        f"{name} takes more of the scratch disk than dataset.cache_bytes or the disk have room "
        "for.",
        where="dataset.cache_bytes",
        hint="Raise it, point TMPDIR at a larger disk, or give the data as .npy files.",
    )
