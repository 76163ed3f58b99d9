"""CIFAR and Fashion-MNIST are read as Keras reads them; damaged archives are refused."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets import keras_archives
from job.datasets.keras_archives import MAX_BYTES, read_cifar, read_fashion_mnist
from job.errors import InputError
from job.rows.lazy import LazyRows, Rows
from job.rows.store import Store
from tests.support.keras_files import (
    batch,
    cifar_members,
    write_fashion_mnist,
    write_idx,
    write_tar,
)

RANDOM = np.random.default_rng(0)


def store(folder: Path, memory: int = 1 << 26) -> Store:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Store(scratch, memory, 1 << 26)


def read(path: Path, name: str = "cifar10", memory: int = 1 << 26) -> dict[str, Rows]:
    with path.open("rb") as file:
        return read_cifar(file, name, store(path.parent, memory), str(path))


def refused(path: Path, name: str = "cifar10") -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, name)
    assert caught.value.where.startswith(str(path))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("memory", [1 << 26, 0])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_what_keras_reads(name: str, memory: int, tmp_path: Path) -> None:
    """Batches are joined by their numbers; images are put onto the disk where memory is short."""
    from keras.src.datasets.cifar import load_batch

    given = cifar_members(name)
    found = read(write_tar(tmp_path / "c.tar.gz", given), name, memory)
    label_key = "labels" if name == "cifar10" else "fine_labels"
    for split, word in (("train", "train" if name == "cifar100" else "data"), ("test", "test")):
        images, labels = [], []
        for path in sorted(it for it in given if word in it.rpartition("/")[2]):
            (tmp_path / "batch").write_bytes(given[path])
            data, label = load_batch(str(tmp_path / "batch"), label_key)
            images.append(data.transpose(0, 2, 3, 1))
            labels += label
        np.testing.assert_array_equal(found[f"x_{split}"][:], np.concatenate(images))
        np.testing.assert_array_equal(found[f"y_{split}"][:], np.reshape(labels, (-1, 1)))
        assert found[f"x_{split}"].dtype == np.uint8
        assert isinstance(found[f"x_{split}"], LazyRows) == (memory == 0)
    assert found["y_train"].dtype == (np.uint8 if name == "cifar10" else np.int64)


def test_a_pickle_in_the_archive_that_runs_code_is_refused(tmp_path: Path) -> None:
    """The canary is triggered by a free unpickler, but not here."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(canary),)

    name = "cifar-10-batches-py/test_batch"
    evil = pickle.dumps({"data": Evil()}, 2)
    error = refused(write_tar(tmp_path / "c.tar.gz", cifar_members() | {name: evil}))
    assert "mkdir" in error.what
    assert error.where.endswith(name)
    assert not canary.exists()
    pickle.loads(evil)  # noqa: S301
    assert canary.exists()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    """CIFAR-100 given as CIFAR-10 is an archive without any."""
    given = cifar_members()
    del given["cifar-10-batches-py/data_batch_3"]
    assert "data_batch_3" in refused(write_tar(tmp_path / "c.tar.gz", given)).what
    other = write_tar(tmp_path / "d.tar.gz", cifar_members("cifar100"))
    assert "data_batch_1" in refused(other).what


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_archive_is_refused(fraction: float, tmp_path: Path) -> None:
    """Wherever it is cut off."""
    path = write_tar(tmp_path / "c.tar.gz", cifar_members())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert refused(path).what


def test_an_archive_that_unpacks_to_too_much_is_refused_early(tmp_path: Path) -> None:
    """300 MB of zeros in a member before the batches; they are not held in memory."""
    path = tmp_path / "c.tar.gz"
    member = tarfile.TarInfo("zeros")
    member.size = MAX_BYTES
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range(MAX_BYTES >> 20):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        error = refused(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"more than {MAX_BYTES:,} bytes" in error.what
    assert peak < 20_000_000


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, b"S"])
def test_a_member_that_is_no_plain_file_is_refused(kind: bytes, tmp_path: Path) -> None:
    """A link could lead anywhere."""
    path = tmp_path / "c.tar.gz"
    member = tarfile.TarInfo("cifar-10-batches-py/test_batch")
    member.type, member.linkname = kind, "/etc/passwd"
    with gzip.open(path, "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "no file" in refused(path).what


@pytest.mark.parametrize(
    "content",
    [
        batch(np.zeros((4, 3071), np.uint8), [1] * 4),
        batch(np.zeros((4, 3072), np.uint8), [1] * 3),
        batch(np.zeros((1, 3072), np.uint8), [256]),
        batch(np.zeros((4, 3072), np.uint8), [1] * 4, b"fine_labels"),
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": b"abc", b"labels": [1]}),
    ],
    ids=["pixels", "labels", "label", "key", "list", "bytes"],
)
def test_a_batch_of_another_form_is_refused(content: bytes, tmp_path: Path) -> None:
    """Its member is named."""
    name = "cifar-10-batches-py/data_batch_2"
    error = refused(write_tar(tmp_path / "c.tar.gz", cifar_members() | {name: content}))
    assert "one image of 3,072 bytes" in error.what
    assert error.where.endswith(name)


def test_fashion_mnist_is_what_keras_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras is given the same files; images of several parts are joined."""
    import keras.src.datasets.fashion_mnist as of_keras

    monkeypatch.setattr(keras_archives, "PART_ROWS", 16)
    files = write_fashion_mnist(tmp_path / "f", 50, 7)
    monkeypatch.setattr(of_keras, "get_file", lambda name, **_: str(files[name]))
    (x_train, y_train), (x_test, y_test) = of_keras.load_data()
    found = read_fashion_mnist(files, store(tmp_path))
    expected = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    assert found.keys() == expected.keys()
    for name, it in expected.items():
        np.testing.assert_array_equal(found[name][:], it)
        assert found[name].dtype == it.dtype


def header(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(header(0x803, 2, 28, 28) + bytes(1567)),
        gzip.compress(header(0x803, 2, 28, 28) + bytes(1569)),
        gzip.compress(header(0x803, 2, 28, 27) + bytes(1512)),
        gzip.compress(header(0x801, 2, 28, 28) + bytes(1568)),
        gzip.compress(header(0x803, 2**32 - 1, 28, 28) + bytes(1568)),
        gzip.compress(header(0x803, 2, 28, 28) + bytes(1568))[:-9],
    ],
    ids=range(9),  # an archive has the time in it
)
def test_a_damaged_idx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    """No gzip, no header, too few or too many bytes, another shape, a shape of terabytes."""
    files = write_fashion_mnist(tmp_path / "f", 5, 2)
    path = files["t10k-images-idx3-ubyte.gz"]
    path.write_bytes(content)
    with pytest.raises(InputError, match="no readable IDX file") as caught:
        read_fashion_mnist(files, store(tmp_path))
    assert caught.value.where == str(path)
    write_idx(path, np.zeros((2, 28, 28), np.uint8))
    assert len(read_fashion_mnist(files, store(tmp_path))["x_test"]) == 2


def test_a_missing_file_is_named_with_all_four(tmp_path: Path) -> None:
    """Others than the four do not matter."""
    files = write_fashion_mnist(tmp_path / "f", 5, 2)
    del files["train-labels-idx1-ubyte.gz"]
    with pytest.raises(InputError, match="train-labels-idx1-ubyte") as caught:
        read_fashion_mnist(files, store(tmp_path))
    assert "t10k-images-idx3-ubyte.gz" in caught.value.hint
