"""NumPy files -> a data set: one array in each, read where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from job.datasets.npz_file import COPY_AGAIN, Header, read_header
from job.datasets.source import (
    ArraysOfSplit,
    Opened,
    Source,
    SplitRows,
    arrays_of_splits,
    no_such_array,
)
from job.errors import InputError
from job.manifest.datasets import NpyConfig
from job.rows.lazy import Array, Rows, StoredRows, in_memory, rows_of_columns
from job.rows.store import Store


def open_npy(source: Source, config: NpyConfig) -> Opened:
    """Open the arrays that the manifest names; inputs that are large stay in their files.

    Args:
        source: The files; each array is called as its file is, without ``.npy``.
        config: Which arrays are what.

    Raises:
        InputError: Where a file is missing or none, or the arrays of a split differ in their rows.
    """
    files = {name.removesuffix(".npy"): path for name, path in source.files.items()}
    splits = arrays_of_splits(source, config)
    return Opened.of({names.which: _split(files, names, source.store) for names in splits})


def _split(files: Mapping[str, Path], names: ArraysOfSplit, store: Store) -> SplitRows:
    headers = {name: _header(files, name) for name in dict.fromkeys(names.all)}
    counts = {name: header.shape[0] for name, (header, _) in headers.items()}
    names.check_counts(counts, str(files[names.all[0]].parent))
    size = sum(header.bytes for header, _ in headers.values())
    is_small = size <= store.memory_bytes
    if is_small:
        store.memory_bytes -= size

    def opened(name: str) -> Rows:
        header, offset = headers[name]
        if header.is_fortran and is_small:
            return _reordered(files[name], header, offset)
        if header.is_fortran:
            return _put(files[name], header, offset, store)
        found = StoredRows(files[name], header.shape, header.stored, offset)
        return found[:] if is_small else found

    return names.rows({name: opened(name) for name in headers})


def _header(files: Mapping[str, Path], name: str) -> tuple[Header, int]:
    """An array's header, and the bytes before its values."""
    path = files.get(name)
    if path is None:
        raise no_such_array(name, files, str(next(iter(files.values())).parent))
    try:
        with path.open("rb") as file:
            shape, is_fortran, dtype = read_header(file)
            offset = file.tell()
    except ValueError as error:
        raise InputError(
            f"The file is no readable .npy file: {error}.",
            where=str(path),
            hint="Write it with numpy.save.",
        ) from None
    if dtype.hasobject:
        raise InputError(
            "The file holds pickled objects, which can run code and are never loaded.",
            where=str(path),
            hint="Save a plain array of numbers: numpy.save(path, x.astype('float32')).",
        )
    header = Header(shape, dtype.newbyteorder("="), is_fortran, dtype)
    held = path.stat().st_size - offset
    if header.bytes != held:
        raise InputError(
            f"The array is corrupt: its header declares {header.bytes:,} bytes of shape {shape}, "
            f"the file holds {held:,}.",
            where=str(path),
            hint=COPY_AGAIN,
        )
    if not shape:
        raise InputError(
            "The array is a single number and has no rows.",
            where=str(path),
            hint="Save an array whose first axis counts the rows.",
        )
    if 0 in shape[1:] or not dtype.itemsize:  # no bytes may be any number of rows
        raise InputError(
            f"The array has the shape {shape} and the dtype {dtype}: its rows have no values.",
            where=str(path),
            hint="Save an array whose rows have values.",
        )
    return header, offset


def _reordered(path: Path, header: Header, offset: int) -> Array:
    """An array in Fortran order, in C order."""
    values = np.fromfile(path, header.stored, offset=offset)
    return np.asarray(values.reshape(header.shape, order="F"), in_memory(header.stored), order="C")


def _put(path: Path, header: Header, offset: int, store: Store) -> Rows:
    """A large array in Fortran order, put into the store: its rows do not lie together."""
    writer = store.writer(f"The array of {path.name}", header.shape[1:], header.stored)
    for part in rows_of_columns(path, header.shape, header.stored, offset):
        writer.append(part)
    return writer.finish()
