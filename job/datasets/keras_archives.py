"""The archives of CIFAR and Fashion-MNIST, as ``keras.datasets`` reads them; nothing is extracted
to the disk.
"""

from __future__ import annotations

import gzip
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from job.datasets.keras_pickles import Pickled, load_arrays
from job.datasets.npz_file import MAX_COMPRESSION
from job.errors import InputError
from job.manifest.datasets import FASHION_MNIST_FILES
from job.rows.lazy import Array, Rows
from job.rows.store import Store

# CIFAR has 186 MB.
MAX_BYTES = 1 << 28
PART_ROWS = 1 << 12
DAMAGED = (tarfile.TarError, OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Cifar:
    """What is where in an archive of CIFAR."""

    train: tuple[str, ...]
    test: str
    label_key: bytes
    label_dtype: type[Any]


CIFAR = {
    "cifar10": Cifar(
        tuple(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
        "cifar-10-batches-py/test_batch",
        b"labels",
        np.uint8,
    ),
    "cifar100": Cifar(
        ("cifar-100-python/train",), "cifar-100-python/test", b"fine_labels", np.int64
    ),
}


def read_cifar(file: IO[bytes], name: str, store: Store, where: str) -> dict[str, Rows]:
    """Read CIFAR-10 or CIFAR-100 with its fine labels.

    Args:
        file: The ``.tar.gz``.
        name: ``cifar10`` or ``cifar100``.
        store: Where images are put.
        where: The file that errors name.

    Returns:
        Images are (rows, 32, 32, 3), uint8; labels (rows, 1), uint8 or int64, as Keras has them.

    Raises:
        InputError: Where the archive or a batch is damaged, missing or too large.
    """
    known = CIFAR[name]
    try:
        batches = _batches(file, known, where)
    except DAMAGED as error:
        raise InputError(
            f"The data set is no readable .tar.gz archive: {error}.",
            where=where,
            hint="Download it again.",
        ) from None
    missing = [member for member in (*known.train, known.test) if member not in batches]
    if missing:
        raise InputError(
            f"The archive has no {missing[0]}.",
            where=where,
            hint=f"It should be Keras's archive of {name}.",
        )
    arrays: dict[str, Rows] = {}
    for split, members in (("train", known.train), ("test", (known.test,))):
        images = store.writer(f"x_{split} of {name}", (32, 32, 3), np.dtype(np.uint8))
        labels = []
        for member in members:
            data, label = batches.pop(member)
            images.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            labels.append(label)
        arrays[f"x_{split}"] = images.finish()
        arrays[f"y_{split}"] = np.concatenate(labels)[:, None]
    return arrays


def _batches(file: IO[bytes], known: Cifar, where: str) -> dict[str, tuple[Array, Array]]:
    """The images, (rows, 3072), and labels, (rows,), of each member that is wanted."""
    batches: dict[str, tuple[Array, Array]] = {}
    with (
        gzip.GzipFile(fileobj=file) as unpacked,
        tarfile.open(fileobj=_Bounded(unpacked, where), mode="r|") as archive,  # type: ignore[call-overload]
    ):
        for member in archive:
            if member.name not in (*known.train, known.test):
                continue
            place = f"{where}, {member.name}"
            is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            content = archive.extractfile(member) if is_plain and not member.sparse else None
            if content is None or member.name in batches:
                raise InputError(
                    "The archive's member is no file, or there are two of that name.",
                    where=place,
                    hint="Download the archive again.",
                )
            batches[member.name] = _batch(load_arrays(content, place), known, place)
    return batches


def _batch(given: Any, known: Cifar, where: str) -> tuple[Array, Array]:
    data = given.get(b"data") if isinstance(given, dict) else None
    labels = given.get(known.label_key) if isinstance(given, dict) else None
    images = getattr(data, "value", None) if isinstance(data, Pickled) else None
    if (
        not isinstance(images, np.ndarray)
        or images.ndim != 2
        or images.shape[1] != 3072
        or not isinstance(labels, list)
        or len(labels) != len(images)
        or not all(isinstance(label, int) and 0 <= label < 256 for label in labels)
    ):
        raise InputError(
            "The batch has not one image of 3,072 bytes for each label from 0 to 255.",
            where=where,
            hint="Download the archive again.",
        )
    return images, np.asarray(labels, known.label_dtype)


@dataclass
class _Bounded:
    """A file that has no more than ``MAX_BYTES``."""

    file: gzip.GzipFile
    where: str
    left: int = MAX_BYTES

    def read(self, size: int) -> bytes:
        """Raises InputError where there is more."""
        content = self.file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise InputError(
                f"The archive unpacks to more than {MAX_BYTES:,} bytes.",
                where=self.where,
                hint="It is no archive of CIFAR. Download it again.",
            )
        return content


def read_fashion_mnist(files: Mapping[str, Path], store: Store) -> dict[str, Rows]:
    """Read Fashion-MNIST.

    Args:
        files: By name; others than the four are not looked at.
        store: Where images are put.

    Returns:
        Images are (rows, 28, 28), uint8; labels (rows,), uint8.

    Raises:
        InputError: Where a file is missing or damaged, or images and labels differ in number.
    """
    missing = [name for name in FASHION_MNIST_FILES if name not in files]
    if missing:
        raise InputError(
            f"The data set has no file {missing[0]!r}.",
            where="dataset.uri",
            hint=f"fashion_mnist is a folder of four files: {', '.join(FASHION_MNIST_FILES)}.",
        )
    arrays: dict[str, Rows] = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind, row in (("images", (28, 28)), ("labels", ())):
            path = files[f"{prefix}-{kind}-idx{1 + len(row)}-ubyte.gz"]
            arrays[f"{'x' if row else 'y'}_{split}"] = _idx(path, row, store)
    return arrays


def _idx(path: Path, row: tuple[int, ...], store: Store) -> Rows:
    """An array of bytes: a header of big-endian integers (0x08, axes; shape), and the values."""
    form = f">{2 + len(row)}I"
    writer = store.writer(f"The array of {path.name}", row, np.dtype(np.uint8))
    try:
        with gzip.open(path) as file:
            magic, rows, *shape = struct.unpack(form, file.read(struct.calcsize(form)))
            size = int(np.prod(row, dtype=np.int64))
            possible = min(MAX_BYTES, path.stat().st_size * MAX_COMPRESSION)
            if magic != 0x800 + 1 + len(row) or tuple(shape) != row or rows * size > possible:
                raise ValueError(f"its header has the shape {(rows, *shape)}")  # noqa: TRY301
            for start in range(0, rows, PART_ROWS):
                count = min(PART_ROWS, rows - start)
                content = file.read(count * size)
                writer.append(np.frombuffer(content, np.uint8).reshape(count, *row))
            if file.read(1):
                raise ValueError(f"it has more than the {rows:,} rows of its header")  # noqa: TRY301
    except (*DAMAGED, ValueError, struct.error) as error:
        raise InputError(
            f"The file is no readable IDX file of rows of the shape {row}: {error}.",
            where=str(path),
            hint="Download it again.",
        ) from None
    return writer.finish() if row else writer.finish()[:]
