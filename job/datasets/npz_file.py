"""One ``.npz`` archive: read as data, never unpickled; what its headers declare is checked."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from job.datasets.data import Array
from job.errors import InputError

# DEFLATE can't make data smaller than by this factor.
MAX_COMPRESSION = 1032


class Header(NamedTuple):
    """An array's header; the archive holds as many bytes as it declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """In this machine's byte order, whatever the file's is."""


@dataclass(frozen=True)
class NpzFile:
    """An archive that is open."""

    path: Path
    archive: np.lib.npyio.NpzFile

    @property
    def names(self) -> list[str]:
        """The arrays in it, sorted."""
        return sorted(self.archive.files)

    def header(self, name: str) -> Header:
        """Read an array's header.

        Raises:
            InputError: Where it holds pickled objects, or not as many bytes as its header
                declares.
        """
        members = self.archive.zip
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
            held = entry.file_size - file.tell()
        if dtype.hasobject:
            raise _pickled(self.path)
        if min(shape, default=0) < 0:  # the product of two would look right
            raise ValueError(f"the array {name!r} has the shape {shape}")
        declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
        packed = min(entry.compress_size, self.path.stat().st_size)  # the archive may lie
        possible = packed * MAX_COMPRESSION + 1024
        if declared > possible:
            held = min(held, possible)
        if declared != held:
            raise InputError(
                f"The array {name!r} is corrupt: its header declares {declared:,} bytes, "
                f"the archive holds {held:,}.",
                where=str(self.path),
            )
        return Header(shape, dtype.newbyteorder("="))

    def read(self, name: str, header: Header) -> Array:
        """Read an array, of any byte order.

        Args:
            name: The array.
            header: Its header as it was found before.

        Raises:
            InputError: Where its header has changed.
        """
        if self.header(name) != header:
            raise InputError(
                f"The array {name!r} changed while the data set was read.",
                where=str(self.path),
                hint="Run again once nothing writes to the file.",
            )
        return np.asarray(self.archive[name])


@contextlib.contextmanager
def opened(path: Path) -> Iterator[NpzFile]:
    """Open an archive; errors while it is open name it.

    Raises:
        InputError: Where it is not an archive, is corrupt, or holds pickled objects.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(
            "The data set is no .npz archive.",
            where=str(path),
            hint="Make it with np.savez_compressed(path, x_train=..., y_train=..., ...).",
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield NpzFile(path, archive)
    except InputError:
        raise
    except (Exception, MemoryError) as error:  # noqa: BLE001 - zipfile, zlib, lzma, numpy and its parser raise all kinds
        if "allow_pickle" in str(error):
            raise _pickled(path) from None
        raise InputError(
            f"The data set is no readable .npz archive: {error}.",
            where=str(path),
            hint="Make it with np.savez or np.savez_compressed.",
        ) from None


def _pickled(path: Path) -> InputError:
    return InputError(
        "The data set holds pickled objects, which can run code and are never loaded.",
        where=str(path),
        hint="Save plain arrays of numbers: np.savez(path, x_train=x.astype('float32'), ...).",
    )
