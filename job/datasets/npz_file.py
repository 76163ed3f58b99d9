"""One ``.npz`` archive: read as data, never unpickled; what its headers declare is checked."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from job.errors import InputError
from job.rows.lazy import PART_BYTES, Array, rows_of_columns

# DEFLATE can't make data smaller than by this factor.
MAX_COMPRESSION = 1032
# numpy has at most so many axes before version 2, and TensorFlow far fewer.
MAX_AXES = 32
MAX_SIZE = 2**63 - 1
COPY_AGAIN = "Copy the file again, or write the array again with numpy."


class Header(NamedTuple):
    """An array's header; the archive holds as many bytes as it declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """In this machine's byte order, whatever the file's is."""
    is_fortran: bool = False
    """Whether its columns lie one behind the other, not its rows."""
    stored: np.dtype[Any] = np.dtype(np.uint8)
    """As it is in the file."""

    @property
    def bytes(self) -> int:
        """Of the array."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a ``.npy`` file's header: its array's shape, whether it is in Fortran order, its dtype.

    Raises:
        ValueError: Where it is none, or declares a shape that no array has; the message is for
            users.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
            (3, 0): np.lib.format.read_array_header_2_0,  # its field names are in UTF-8
        }[version]
        shape, is_fortran, dtype = read(file)
    except (Exception, MemoryError):  # noqa: BLE001 - numpy and its parsers raise all kinds
        # Their messages quote Python.
        raise ValueError("its header is not one that numpy.save writes") from None
    if len(shape) > MAX_AXES:
        raise ValueError(f"its header declares {len(shape)} axes; at most {MAX_AXES} are read")
    if any(isinstance(size, bool) or not 0 <= size <= MAX_SIZE for size in shape):
        raise ValueError(f"its header declares the impossible shape {shape}")
    return shape, is_fortran, dtype


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
        members, entry = self._entry(name)
        with members.open(entry) as file:
            shape, is_fortran, dtype = _header_of(file, name)
            held = entry.file_size - file.tell()
        if dtype.hasobject:
            raise _pickled(self.path)
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
                hint=COPY_AGAIN,
            )
        return Header(shape, dtype.newbyteorder("="), is_fortran, dtype)

    def parts(self, name: str, header: Header, scratch: Callable[[], Path]) -> Iterator[Array]:
        """Read an array's rows in parts, in their order; see ``read``.

        Args:
            name: The array.
            header: Its header.
            scratch: Gives the path of a new file; columns are unpacked there, as rows are only
                found where a file can be read from any place.
        """
        if header.is_fortran:
            path = scratch()
            members, entry = self._entry(name)
            with members.open(entry) as file, path.open("wb") as unpacked:
                read_header(file)
                shutil.copyfileobj(file, unpacked)
            yield from rows_of_columns(path, header.shape, header.stored)
            path.unlink()
            return
        members, entry = self._entry(name)
        with members.open(entry) as file:
            shape, _, dtype = read_header(file)
            row_bytes = header.bytes // max(1, header.shape[0])
            step = max(1, PART_BYTES // max(1, row_bytes))
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                content = file.read(rows * row_bytes)
                yield np.frombuffer(content, dtype).reshape(rows, *shape[1:])

    def _entry(self, name: str) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
        members = self.archive.zip
        assert members is not None  # the archive is open
        return members, members.getinfo(name if name in members.namelist() else f"{name}.npy")

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


def _header_of(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """As ``read_header``; errors name the array."""
    try:
        return read_header(file)
    except ValueError as error:
        raise ValueError(f"of the array {name!r}, {error}") from None


def _pickled(path: Path) -> InputError:
    return InputError(
        "The data set holds pickled objects, which can run code and are never loaded.",
        where=str(path),
        hint="Save plain arrays of numbers: np.savez(path, x_train=x.astype('float32'), ...).",
    )
