"""Small files in the formats of ``keras.datasets``: pickles as Python 2 wrote them, IDX, tar."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class _Python2Pickler(pickle._Pickler):
    """All texts are byte strings, and NumPy's modules have their old names."""

    def save_string(self, text: str | bytes) -> None:
        content = text.encode("ascii") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)  # type: ignore[attr-defined]
        self.memoize(text)  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[type, Any]] = {
        **pickle._Pickler.dispatch,
        str: save_string,
        bytes: save_string,
    }


def python2_pickle(value: Any) -> bytes:
    """A pickle of protocol 2, as Python 2 with an old NumPy writes it."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def batch(images: NDArray[np.uint8], labels: list[int], key: bytes = b"labels") -> bytes:
    """A batch of CIFAR. Images are (rows, 3072)."""
    names = [b"x.png"] * len(labels)
    return python2_pickle({b"batch_label": b"1", key: labels, b"data": images, b"filenames": names})


def cifar_members(name: str = "cifar10", rows: int = 4) -> dict[str, bytes]:
    """Members of an archive; as in the real one, its batches are in no order."""
    random = np.random.default_rng(3)
    names = ["data_batch_4", "test_batch", "data_batch_3", "data_batch_2", "data_batch_5"]
    paths = [f"cifar-10-batches-py/{it}" for it in [*names, "data_batch_1"]]
    if name == "cifar100":
        paths = ["cifar-100-python/test", "cifar-100-python/train"]
    key = b"labels" if name == "cifar10" else b"fine_labels"
    found = {"readme.html": b"<html>"}
    for path in paths:
        images = random.integers(0, 256, (rows, 3072), np.uint8)
        found[path] = batch(images, random.integers(0, 10, rows).tolist(), key)
    return found


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """A ``.tar.gz`` of these members, in their order."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_imdb(path: Path, rows: int) -> Path:
    """Reviews of 0 to 40 words of 1 to 200."""
    random = np.random.default_rng(5)
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        reviews = np.empty(rows, object)
        reviews[:] = [random.integers(1, 200, random.integers(0, 40)).tolist() for _ in range(rows)]
        arrays |= {f"x_{split}": reviews, f"y_{split}": random.integers(0, 2, rows)}
    np.savez(path, **arrays)
    return path


def write_idx(path: Path, values: NDArray[np.uint8]) -> Path:
    """An IDX file of bytes, packed by gzip."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))
    return path


def write_fashion_mnist(folder: Path, train: int, test: int) -> dict[str, Path]:
    """The four files, by name."""
    random = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, rows in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (rows, 28, 28), np.uint8)
        labels = random.integers(0, 10, rows, np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return {path.name: path for path in sorted(folder.iterdir())}


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
