"""NumPy archives -> a data set: the arrays of one file, or of several joined row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from job.datasets.npz_file import Header, opened
from job.datasets.source import (
    ArraysOfSplit,
    Opened,
    Source,
    SplitRows,
    arrays_of_splits,
    no_such_array,
)
from job.errors import InputError
from job.manifest.datasets import ArraysConfig
from job.rows.lazy import Array, Rows, in_memory
from job.rows.store import Store
from job.text import first_names


def open_npz(source: Source, config: ArraysConfig) -> Opened:
    """Read the arrays that the manifest names, and join those of several files in their order.

    All headers are checked before any array is read. A joined array is made once and filled file
    by file, so that at most one array of one file is in memory beside the data; the arrays of a
    single file are not copied. Inputs that are too large for that are put onto the scratch disk.

    Args:
        source: The archives. All arrays of a split come from the same ones; an archive may have no
            array of a split.
        config: Which arrays are what.

    Returns:
        The rows. Arrays are (rows, ...), in this machine's byte order; booleans are uint8.

    Raises:
        InputError: Where an archive is corrupt, an array is missing or pickled, the arrays of a
            split differ in their rows, or an array's dtype or rows' shape differs between files.
    """
    parts = [(names, _parts(source, names)) for names in arrays_of_splits(source, config)]
    return Opened.of(
        {names.which: _read(of_split, names, source.store) for names, of_split in parts}
    )


@dataclass(frozen=True)
class _Part:
    """What one file has of a split."""

    path: Path
    headers: dict[str, Header]
    """By the array's name; they have the same rows."""


def _parts(source: Source, names: ArraysOfSplit) -> list[_Part]:
    """Find a split's arrays in all files; only their headers are read."""
    paths = list(source.files.values())
    parts: list[_Part] = []
    seen: set[str] = set()
    for path in paths:
        with opened(path) as file:
            missing = [name for name in names.all if name not in file.names]
            if missing and len(paths) == 1:
                raise no_such_array(missing[0], file.names, str(path))
            seen |= set(file.names)
            if len(missing) == len(names.all):
                continue
            if missing:
                raise _half_a_split(missing[0], names, path, file.names)
            part = _Part(path, {name: file.header(name) for name in names.all})
        _check_rows(part, names)
        if parts:
            _check_alike(parts[0], part)
        parts.append(part)
    if not parts:
        raise no_such_array(names.all[0], sorted(seen), source.place)
    return parts


def _check_rows(part: _Part, names: ArraysOfSplit) -> None:
    last = part.headers[names.all[-1]].shape
    for name, (shape, *_) in part.headers.items():
        if not shape or not last or shape[0] != last[0]:
            raise InputError(
                f"The arrays of the {names.which} split differ in their rows: {name} has the "
                f"shape {shape}, {names.all[-1]} has {last}.",
                where=str(part.path),
                hint=f"Check dataset.{names.which} in the manifest.",
            )


def _check_alike(first: _Part, part: _Part) -> None:
    """Refuse arrays that can't be joined without a silent change of their numbers."""
    for name, (shape, dtype, *_) in part.headers.items():
        joined = first.headers[name]
        if dtype != joined.dtype:
            raise InputError(
                f"The array {name!r} is of {dtype}, in {first.path} it is of {joined.dtype}.",
                where=str(part.path),
                hint="Save it with the same dtype in every file.",
            )
        if shape[1:] != joined.shape[1:]:
            raise InputError(
                f"The rows of the array {name!r} have the shape {shape[1:]}, in {first.path} they "
                f"have {joined.shape[1:]}.",
                where=str(part.path),
                hint="Save it with rows of the same shape in every file.",
            )


def _read(parts: Sequence[_Part], names: ArraysOfSplit, store: Store) -> SplitRows:
    lazy = []
    size = sum(header.bytes for part in parts for header in part.headers.values())
    if size > store.memory_bytes:
        lazy = list(dict.fromkeys(names.inputs))
    else:
        store.memory_bytes -= size
    here = [name for name in dict.fromkeys(names.all) if name not in lazy]
    arrays: dict[str, Rows] = {
        **(_alone(parts[0], here) if len(parts) == 1 else _joined(parts, here)),
        **{name: _stored(parts, name, store) for name in lazy},
    }
    return names.rows(arrays)


def _alone(part: _Part, names: Sequence[str]) -> dict[str, Array]:
    with opened(part.path) as file:
        return {
            name: file.read(name, part.headers[name]).astype(
                in_memory(part.headers[name].dtype), copy=False
            )
            for name in names
        }


def _stored(parts: Sequence[_Part], name: str, store: Store) -> Rows:
    """An array that is put onto the scratch disk."""
    header = parts[0].headers[name]
    writer = store.writer(f"The array {name!r}", header.shape[1:], header.dtype)
    for part in parts:
        with opened(part.path) as file:
            size = part.headers[name].bytes
            for rows in file.parts(name, part.headers[name], partial(store.scratch_file, size)):
                writer.append(rows)
    return writer.finish()


def _joined(parts: Sequence[_Part], names: Sequence[str]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name in names:
        header = parts[0].headers[name]
        rows = sum(part.headers[name].shape[0] for part in parts)
        arrays[name] = np.empty((rows, *header.shape[1:]), in_memory(header.dtype))
    start = 0
    for part in parts:
        with opened(part.path) as file:
            for name in names:
                header = part.headers[name]
                stop = start + header.shape[0]
                # Not bound to a name, which would keep it while the next one is read.
                arrays[name][start:stop] = file.read(name, header)
        start = stop
    return arrays


def _half_a_split(
    missing: str, names: ArraysOfSplit, path: Path, there: Sequence[str]
) -> InputError:
    found = next(name for name in names.all if name in there)
    return InputError(
        f"The file has the array {found!r} of the {names.which} split and no {missing!r}.",
        where=str(path),
        hint=f"It has: {first_names(there)}. Put all arrays of a split into the same files, or "
        "name others under dataset in the manifest.",
    )
