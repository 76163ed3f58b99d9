"""NumPy archives: read as data, never unpickled, and checked against the model before use."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from job.datasets.data import Array, Dataset, Split
from job.errors import InputError
from job.manifest.inputs import NpzConfig
from job.result import TensorSpec

# DEFLATE can't make data smaller than by this factor.
MAX_COMPRESSION = 1032

Names = str | list[str] | dict[str, str]


def open_npz(
    path: Path,
    config: NpzConfig,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    validation_split: float,
) -> Dataset:
    """Read the arrays that the manifest names.

    Args:
        path: The archive.
        config: Which arrays are what.
        inputs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.
        validation_split: The last fraction of the training rows, which is held out.

    Raises:
        InputError: Where the archive is corrupt, an array is missing or pickled, or the arrays
            of a split differ in their rows.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(
            "The data set is no .npz archive.",
            where=str(path),
            hint="Make it with np.savez_compressed(path, x_train=..., y_train=..., ...).",
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            train = _split(archive, "train", config, inputs, outputs, path)
            test = _split(archive, "test", config, inputs, outputs, path)
    except InputError:
        raise
    except (Exception, MemoryError) as error:  # noqa: BLE001 - zipfile, zlib, lzma, numpy and its parser raise all kinds
        raise _unreadable(error, path) from None
    held_out = int(len(train) * validation_split)
    if held_out == len(train) or not len(test):
        raise InputError(
            "The data set has no rows to train or to test on.",
            where=str(path),
            hint="Give it rows, or lower training.validation_split.",
        )
    border = len(train) - held_out
    return Dataset(
        train=train.rows(0, border),
        validation=train.rows(border, len(train)) if held_out else None,
        test=test,
    )


def _unreadable(error: Exception, path: Path) -> InputError:
    if "allow_pickle" in str(error):
        return InputError(
            "The data set holds pickled objects, which can run code and are never loaded.",
            where=str(path),
            hint="Save plain arrays of numbers: np.savez(path, x_train=x.astype('float32'), ...).",
        )
    return InputError(
        f"The data set is no readable .npz archive: {error}.",
        where=str(path),
        hint="Make it with np.savez or np.savez_compressed.",
    )


def _split(
    archive: np.lib.npyio.NpzFile,
    which: Literal["train", "test"],
    config: NpzConfig,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    path: Path,
) -> Split:
    names = config.train if which == "train" else config.test
    given = _ordered(names.inputs, inputs, "input", f"dataset.{which}.inputs")
    wanted = _ordered(names.targets, outputs, "output", f"dataset.{which}.targets")
    arrays = [_array(archive, name, path) for name in [*given, *wanted]]
    last = arrays[-1]
    for name, array in zip([*given, *wanted], arrays, strict=True):
        if array.ndim == 0 or last.ndim == 0 or len(array) != len(last):
            raise InputError(
                f"The arrays of the {which} split differ in their rows: {name} has the shape "
                f"{array.shape}, {wanted[-1]} has {last.shape}.",
                where=str(path),
                hint=f"Check dataset.{which} in the manifest.",
            )
    dtypes = tuple(spec.dtype for spec in inputs)
    return Split(tuple(arrays[: len(given)]), tuple(arrays[len(given) :]), config.scale, dtypes)


def _ordered(names: Names, specs: list[TensorSpec], kind: str, where: str) -> list[str]:
    """The array names in the order of the model's inputs or outputs (``kind``)."""
    wanted = [spec.name for spec in specs]
    if isinstance(names, dict):
        if sorted(names) != sorted(wanted):
            raise InputError(
                f"{where} names {', '.join(sorted(names))}; "
                f"the model's {kind}s are {', '.join(wanted)}.",
                where=where,
                hint=f"Name each {kind} of the model once.",
            )
        return [names[name] for name in wanted]
    listed = [names] if isinstance(names, str) else names
    if len(listed) != len(wanted):
        raise InputError(
            f"{where} names {len(listed)} arrays; the model has {len(wanted)} {kind}s: "
            f"{', '.join(wanted)}.",
            where=where,
            hint=f"Name one array for each {kind}, in this order, or map {kind} names to arrays.",
        )
    return listed


def _array(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> Array:
    if name not in archive.files:
        raise InputError(
            f"The data set has no array {name!r}.",
            where=str(path),
            hint=f"It has: {', '.join(sorted(archive.files)) or 'none'}. "
            "Name one of these under dataset in the manifest.",
        )
    _check_declared_size(archive, name, path)
    array = np.asarray(archive[name])
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # TensorFlow knows no other


def _check_declared_size(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> None:
    """Refuse an array whose header declares more than the archive holds, before NumPy makes
    room for it.
    """
    members = archive.zip
    assert members is not None  # the archive is open
    entry = members.getinfo(name if name in members.namelist() else f"{name}.npy")
    with members.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
            (3, 0): np.lib.format.read_array_header_2_0,  # its field names are in UTF-8
        }[version]
        shape, _, dtype = read_header(file)
        declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
        held = entry.file_size - file.tell()
    possible = entry.compress_size * MAX_COMPRESSION + 1024
    if declared > possible:
        held = min(held, possible)
    if not dtype.hasobject and declared != held:
        raise InputError(
            f"The array {name!r} is corrupt: its header declares {declared:,} bytes, "
            f"the archive holds {held:,}.",
            where=str(path),
        )
