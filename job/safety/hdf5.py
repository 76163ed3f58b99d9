"""Validate an HDF5 file as data: no links out of it, no external data, no shape bombs.

See CVE-2026-0897 (a data set that declares a petabyte). With HDF5's external links, external
storage and virtual data sets a model file could read any file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from job.errors import InputError
from job.safety.archive import COPY_AGAIN
from job.safety.limits import most_bytes

HINT = "Load the model where it was trained, and save it with model.save('model.h5')."
# Where Keras 2 and Keras 3 store an optimizer's state.
OPTIMIZER = ("/optimizer_weights/", "/optimizer/")
# A model of 1,000 layers, with an optimizer's state, has some 10,000 groups and data sets.
MAX_OBJECTS = 30_000
MAX_DEPTH = 100
ATTRIBUTES = ("model_config", "keras_version", "backend")


@dataclass(frozen=True)
class Contents:
    """The contents of an HDF5 file."""

    attributes: dict[str, str]
    """Those of ``ATTRIBUTES`` that the root has: Keras writes them for a whole model."""
    bytes: int
    """The size of all its data sets, in memory."""
    optimizer_bytes: int
    """The size of an optimizer's state in the file: up to twice the weights."""


def judge_hdf5(path: Path, where: str) -> Contents:
    """Validate an HDF5 file; ``where`` is its name in messages.

    Raises:
        InputError: If the file is not HDF5, is damaged, refers to other files, or declares more
            than it can hold.
    """
    try:
        with h5py.File(path, "r") as file:
            declared, optimizer = _judge_groups(file, path.stat().st_size, where)
            return Contents(
                bytes=declared,
                optimizer_bytes=optimizer,
                attributes={
                    name: value.decode() if isinstance(value, bytes) else str(value)
                    for name, value in file.attrs.items()
                    if name in ATTRIBUTES
                },
            )
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises all kinds on damaged files
        if "truncated" in str(error):
            raise InputError(
                "The model file is truncated: it ends before the data that it announces.",
                where=where,
                hint=COPY_AGAIN,
            ) from None
        raise InputError(
            f"The model file is no readable HDF5 file: {type(error).__name__}: {error}.",
            where=where,
            hint=HINT,
        ) from None


def _judge_groups(file: h5py.File, size: int, where: str) -> tuple[int, int]:
    """Refuse references out of the file, and data sets that declare more than the file holds.

    Links are read but not followed; a group that is linked twice is checked once.

    Returns:
        Bytes in memory of all data sets, and bytes in the file of the optimizer's.
    """
    declared = optimizer = 0
    pending, seen = [(file["/"], 0)], set()
    while pending:
        group, depth = pending.pop()
        for name in group:
            link = group.get(name, getlink=True)
            place = f"{where}, {group.name.rstrip('/')}/{name}"
            if not isinstance(link, h5py.HardLink):
                raise InputError("The model file links to other places.", where=place, hint=HINT)
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MAX_OBJECTS or depth > MAX_DEPTH:
                raise InputError(
                    "The model file holds more groups than a model has layers.",
                    where=place[:200],
                    hint=HINT,
                )
            if isinstance(item, h5py.Group):
                pending.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                declared += _judge_dataset(item, size, place)
                if str(item.name).startswith(OPTIMIZER):
                    optimizer += int(item.id.get_storage_size())
    if declared > most_bytes(size):
        raise _shape_bomb(declared, size, where)
    return declared, optimizer


def _judge_dataset(data: h5py.Dataset, file_size: int, where: str) -> int:
    if data.external or data.is_virtual:
        raise InputError("The model file takes data from other files.", where=where, hint=HINT)
    if data.dtype.kind in "cV":
        raise InputError(f"The weights are {data.dtype}, not real numbers.", where=where, hint=HINT)
    declared = int(data.nbytes) if data.size else 0
    if declared > (most_bytes(file_size) if data.chunks else file_size):
        raise _shape_bomb(declared, file_size, where)
    return declared


def _shape_bomb(declared: int, file_size: int, where: str) -> InputError:
    return InputError(
        f"The model file declares {declared:,} bytes in a file of {file_size:,}.",
        where=where,
        hint="It is damaged, or made to exhaust the memory.",
    )
