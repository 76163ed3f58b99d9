"""Arrays in files of their own: read where they lie, and refused where their headers lie."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.npy import open_npy
from job.datasets.source import Opened
from job.errors import InputError
from job.manifest.datasets import NpyConfig
from job.result.specs import TensorSpec
from job.rows import lazy
from job.rows.lazy import Array, LazyRows, StoredRows
from tests.datasets.test_npz import ARRAYS, Canary, X, Y, header
from tests.support.sources import array, source_of

PLENTY = 1 << 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good files, which a test may replace."""
    save(tmp_path, **ARRAYS)
    return tmp_path


def save(folder: Path, **arrays: Any) -> None:
    for name, it in arrays.items():
        np.save(folder / f"{name}.npy", it, allow_pickle=True)


def opened(folder: Path, *specs: TensorSpec, memory_bytes: int = PLENTY, **fields: Any) -> Opened:
    config = NpyConfig.model_validate({"type": "npy", "uri": "data/", **fields})
    files = sorted(folder.glob("*.npy"))
    return open_npy(source_of(files, specs or [X], [Y], memory_bytes=memory_bytes), config)


def refused(folder: Path, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(folder, **fields)
    return caught.value


def replaced(folder: Path, content: bytes) -> Path:
    """Another ``x_train``, byte by byte."""
    path = folder / "x_train.npy"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
def test_arrays_are_read_as_they_were_saved(memory_bytes: int, folder: Path) -> None:
    """In memory, or with inputs that stay in their files; targets are always in memory."""
    found = opened(folder, memory_bytes=memory_bytes)
    assert found.test is not None
    assert found.validation is None
    for which, split in (("train", found.train), ("test", found.test)):
        (x,), (y,) = split.inputs, split.targets
        assert isinstance(x, LazyRows) == (memory_bytes == 0)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(array(x), ARRAYS[f"x_{which}"])
        order = np.random.default_rng(0).permutation(len(x))
        np.testing.assert_array_equal(x[order], ARRAYS[f"x_{which}"][order])
        assert isinstance(y, np.ndarray)
        np.testing.assert_array_equal(y, ARRAYS[f"y_{which}"])


def test_large_arrays_are_not_copied(folder: Path) -> None:
    """Rows are read from the user's file, and nothing is written."""
    source = source_of(sorted(folder.glob("*.npy")), [X], [Y], memory_bytes=0)
    found = open_npy(source, NpyConfig(type="npy", uri="data/"))
    (rows,) = found.train.inputs
    assert isinstance(rows, StoredRows)
    assert rows.path == folder / "x_train.npy"
    assert list(source.store.folder.iterdir()) == []


def test_memory_is_for_all_splits(folder: Path) -> None:
    """What the first one takes, the next one has not."""
    size = sum(ARRAYS[name].nbytes for name in ("x_train", "y_train"))
    found = opened(folder, memory_bytes=size)
    assert found.test is not None
    assert isinstance(found.train.inputs[0], np.ndarray)
    assert isinstance(found.test.inputs[0], LazyRows)


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
@pytest.mark.parametrize("part_bytes", [1, 100, 1 << 26])
@pytest.mark.parametrize("shape", [(20, 4), (20, 3, 2), (20, 2, 3, 4), (20, 1), (20,)], ids=str)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "|b1", ">i2"])
def test_arrays_in_fortran_order_are_put_as_rows(
    dtype: str,
    shape: tuple[int, ...],
    part_bytes: int,
    memory_bytes: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Part by part where they are large; also targets, and of every byte order."""
    monkeypatch.setattr(lazy, "PART_BYTES", part_bytes)
    x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    save(folder, x_train=np.asfortranarray(x), y_train=np.asfortranarray(x))
    found = opened(folder, memory_bytes=memory_bytes).train
    for rows in (*found.inputs, *found.targets):
        assert rows.dtype == (np.uint8 if dtype == "|b1" else np.dtype(dtype).newbyteorder("="))
        assert rows.dtype.isnative
        np.testing.assert_array_equal(array(rows), x)


def test_an_array_in_fortran_order_is_never_in_memory_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 MB, in parts of 1 MB."""
    monkeypatch.setattr(lazy, "PART_BYTES", 1 << 20)
    x = np.asfortranarray(np.arange(8 << 20, dtype="float32").reshape(-1, 64))
    save(tmp_path, x=x)
    names: Any = {"train": {"inputs": "x"}, "test": None}
    tracemalloc.start()
    try:
        found = opened(tmp_path, memory_bytes=0, **names).train.inputs[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6e6
    np.testing.assert_array_equal(array(found), x)


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
@pytest.mark.parametrize("dtype", [">f4", ">f8", "|b1", ">i8", "<u2", "<f2"])
def test_numbers_get_this_machines_byte_order(dtype: str, memory_bytes: int, folder: Path) -> None:
    """Flags become uint8, as in archives."""
    x = (ARRAYS["x_train"] * 9).astype(dtype)
    save(folder, x_train=x, y_train=x[:, 0])
    found = opened(folder, memory_bytes=memory_bytes).train
    wanted = np.uint8 if dtype == "|b1" else np.dtype(dtype).newbyteorder("=")
    for rows, saved in ((found.inputs[0], x), (found.targets[0], x[:, 0])):
        assert rows.dtype == wanted
        assert rows.dtype.isnative
        np.testing.assert_array_equal(array(rows), saved)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_of_every_version_are_read(version: int, folder: Path) -> None:
    """They are of other lengths."""
    replaced(folder, header((20, 4), version=version) + ARRAYS["x_train"].tobytes())
    for memory_bytes in (PLENTY, 0):
        (x,) = opened(folder, memory_bytes=memory_bytes).train.inputs
        np.testing.assert_array_equal(array(x), ARRAYS["x_train"])


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
def test_pickled_objects_are_never_loaded(memory_bytes: int, folder: Path, tmp_path: Path) -> None:
    """The canary is triggered where pickles are allowed, but not here."""
    canary = tmp_path / "canary"
    save(folder, x_train=np.asarray([Canary(canary)] * 20, dtype=object))
    error = refused(folder, memory_bytes=memory_bytes)
    assert "pickled objects" in error.what
    assert error.where == str(folder / "x_train.npy")
    assert not canary.exists()
    np.load(folder / "x_train.npy", allow_pickle=True)
    assert canary.exists()


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no readable .npy file"),
        (b"hello", "no readable .npy file"),
        (b"\x93NUMPY", "no readable .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "no readable .npy file"),
        (b"\x93NUMPY\x01\x00\x01\x00{", "no readable .npy file"),
        (b"\x93NUMPY\x01\x00\x02\x00((", "no readable .npy file"),
        (b"\x93NUMPY\x03\x00\x02\x00\x00\x00\xff\xff", "no readable .npy file"),
        (b"\x93NUMPY\x01\x00\x07\x00{[]: 1}", "no readable .npy file"),
        (b"\x93NUMPY\x01\x00\xd0\x07" + b"(" * 2000, "no readable .npy file"),
        (b"PK\x03\x04" * 100, "no readable .npy file"),
        (header((20, 4))[:-5], "no readable .npy file"),
        (header((20, 4), version=9) + bytes(320), "no readable .npy file"),
        (header((20, 4), dtype="nonsense") + bytes(320), "no readable .npy file"),
        (header((20, 4), dtype="|O") + bytes(320), "pickled"),
        (header((20, 4)) + bytes(319), "declares 320 bytes of shape (20, 4), the file holds 319"),
        (header((20, 4)) + bytes(321), "the file holds 321"),
        (header((20, -4)) + bytes(320), "impossible shape (20, -4)"),
        (header((20, -2, -2)) + bytes(320), "impossible shape"),
        (header((10**20, 0)) + bytes(320), "impossible shape"),
        (header((20, *[1] * 68, 4)) + bytes(320), "declares 70 axes; at most 32"),
        (header((2**27, 4)) + bytes(320), "declares 2,147,483,648 bytes"),
        (header((2**62, 2**62)) + bytes(320), "corrupt"),
        (header((10**15, 0)), "its rows have no values"),
        (header((10**15,), dtype="|S0"), "its rows have no values"),
        (header(()) + bytes(4), "single number"),
    ],
    ids=lambda it: f"{it[:12]!r} of {len(it)}",
)
def test_a_file_that_is_no_good_array_is_refused(
    content: bytes, says: str, memory_bytes: int, folder: Path
) -> None:
    """By name, and without memory for what its header declares."""
    path = replaced(folder, content)
    tracemalloc.start()
    try:
        error = refused(folder, memory_bytes=memory_bytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert says in error.what
    assert error.where == str(path)
    assert error.hint
    assert peak < 5_000_000


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(fraction: float, folder: Path) -> None:
    """Wherever it is cut off."""
    content = (folder / "x_train.npy").read_bytes()
    path = replaced(folder, content[: int(len(content) * fraction)])
    assert refused(folder).where == str(path)


def test_a_missing_array_is_named_with_those_that_are_there(folder: Path) -> None:
    """They are called as their files are."""
    error = refused(folder, train={"inputs": "x_trian", "targets": "y_train"})
    assert error.what == "The data set has no array 'x_trian'."
    assert "x_test, x_train, y_test, y_train" in error.hint
    assert error.where == str(folder)


def test_a_name_is_no_path(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files that are not the data set's are never read."""
    other = tmp_path_factory.mktemp("other") / "secret.npy"
    np.save(other, ARRAYS["x_train"])
    for name in (str(other), str(other.with_suffix("")), f"../{other.parent.name}/secret"):
        assert "no array" in refused(folder, train={"inputs": name, "targets": "y_train"}).what


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
def test_arrays_of_different_rows_are_refused_with_their_numbers(
    memory_bytes: int, folder: Path
) -> None:
    """The message has the split."""
    save(folder, y_test=ARRAYS["y_test"][:5])
    error = refused(folder, memory_bytes=memory_bytes)
    assert "test split differ in their rows: x_test has 7, y_test has 5" in error.what
    assert "dataset.test" in error.hint


def test_weights_and_several_inputs_are_named(folder: Path) -> None:
    """As in archives; an array that is named twice is read once."""
    other = TensorSpec("other", (4,), "float32")
    save(folder, w=np.arange(20) / 2)
    names = {"inputs": {"other": "x_train", "x": "x_train"}, "targets": "y_train", "weights": "w"}
    for memory_bytes in (PLENTY, 0):
        found = opened(folder, X, other, memory_bytes=memory_bytes, train=names, test=None).train
        assert found.inputs[0] is found.inputs[1]
        (weights,) = found.weights
        assert weights is not None
        np.testing.assert_array_equal(weights, np.arange(20) / 2)


def test_an_array_that_is_input_and_target_is_one_object(folder: Path) -> None:
    """Where it is in memory: rows are moved in place when some are held out."""
    names: Any = {"train": {"inputs": "x_train", "targets": "x_train"}, "test": None}
    split = opened(folder, **names).train
    assert split.inputs[0] is split.targets[0]
    split = opened(folder, memory_bytes=0, **names).train
    targets: Array = split.targets[0]
    assert isinstance(targets, np.ndarray)
    np.testing.assert_array_equal(array(split.inputs[0]), targets)
