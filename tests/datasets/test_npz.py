"""Arrays are read as data; corrupt or dangerous archives are refused."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.npz import open_npz
from job.datasets.open_dataset import open_dataset
from job.errors import InputError
from job.manifest.datasets import NpzConfig
from job.result.specs import TensorSpec
from job.rows.lazy import LazyRows
from tests.support.sources import Both, array, both, source_of

X, Y = TensorSpec("x", (4,), "float32"), TensorSpec("y", (3,), "float32")
RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "x_train": RANDOM.normal(size=(20, 4)).astype("float32"),
    "y_train": RANDOM.integers(0, 3, 20),
    "x_test": RANDOM.normal(size=(7, 4)).astype("float32"),
    "y_test": RANDOM.integers(0, 3, 7),
}


def config(**fields: Any) -> NpzConfig:
    return NpzConfig.model_validate({"type": "npz", "uri": "data.npz", **fields})


def opened(path: Path, *specs: TensorSpec, **fields: Any) -> Both:
    return both(open_npz(source_of([path], specs or [X], [Y]), config(**fields)))


def refused(path: Path, *specs: TensorSpec, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path, *specs, **fields)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a good archive, which a test may replace."""
    path = tmp_path / "data.npz"
    np.savez(path, **ARRAYS)
    return path


def header(shape: tuple[int, ...], dtype: str = "<f4", version: int = 1) -> bytes:
    """An .npy header with any content."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape})
    text += " " * (64 - (13 + len(text)) % 64) + "\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


def with_member(path: Path, content: bytes) -> Path:
    """The good archive with another ``x_train``, byte by byte."""
    np.savez(path, **{name: it for name, it in ARRAYS.items() if name != "x_train"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content)
    return path


def test_arrays_are_read_as_they_were_saved(path: Path) -> None:
    """Compressed or not; nothing is held out yet."""
    for save in (np.savez, np.savez_compressed):
        save(path, allow_pickle=False, **ARRAYS)
        found = open_npz(source_of([path], [X], [Y]), config())
        assert found.test is not None
        np.testing.assert_array_equal(array(found.train.inputs[0]), ARRAYS["x_train"])
        np.testing.assert_array_equal(found.train.targets[0], ARRAYS["y_train"])
        np.testing.assert_array_equal(array(found.test.inputs[0]), ARRAYS["x_test"])
        assert found.validation is None


def test_big_endian_numbers_and_flags_are_converted_for_tensorflow(path: Path) -> None:
    """The values do not change."""
    x = ARRAYS["x_train"]
    np.savez(path, **ARRAYS | {"x_train": x.astype(">f4"), "y_train": ARRAYS["y_train"] > 0})
    found = opened(path)
    assert found.train.inputs[0].dtype == np.dtype("=f4")
    np.testing.assert_array_equal(array(found.train.inputs[0]), x)
    assert found.train.targets[0].dtype == np.uint8
    np.testing.assert_array_equal(found.train.targets[0], ARRAYS["y_train"] > 0)


class Canary:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_pickled_objects_are_never_loaded(name: str, path: Path, tmp_path: Path) -> None:
    """The canary is triggered where pickles are allowed, but not here."""
    canary = tmp_path / "canary"
    evil = np.asarray([Canary(canary)] * len(ARRAYS[name]), dtype=object)
    np.savez(path, **ARRAYS | {name: evil})
    assert not canary.exists()
    error = refused(path)
    assert "pickled" in error.what
    assert "np.savez" in error.hint
    assert not canary.exists()
    with np.load(path, allow_pickle=True) as archive:
        assert archive[name] is not None
    assert canary.exists()


def test_a_pickle_in_the_place_of_the_archive_is_never_loaded(path: Path, tmp_path: Path) -> None:
    """np.load would accept a bare pickle."""
    canary = tmp_path / "canary"
    np.asarray(Canary(canary), dtype=object).dump(path)
    assert refused(path).where == str(path)
    assert not canary.exists()


def test_a_missing_array_is_named_with_those_that_are_there(path: Path) -> None:
    """The hint lists the arrays of the archive."""
    error = refused(path, train={"inputs": "x_trian", "targets": "y_train"})
    assert "'x_trian'" in error.what
    for name in ARRAYS:
        assert name in error.hint
    np.savez(path)
    assert "none" in refused(path).hint


def test_a_single_array_is_not_an_archive(path: Path) -> None:
    """An .npy file, whatever its name."""
    with path.open("wb") as file:
        np.save(file, ARRAYS["x_train"])
    assert ".npz" in refused(path).what


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_archive_is_refused(fraction: float, path: Path) -> None:
    """Wherever it is cut off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert refused(path).where == str(path)


def test_text_and_a_missing_file_are_not_archives(path: Path) -> None:
    """Both name the file."""
    path.write_text("x_train,y_train\n1,2\n" * 100)
    assert refused(path).where == str(path)
    path.unlink()
    assert refused(path).where == str(path)


@pytest.mark.parametrize("offset", [60, 200])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_broken_bytes_is_refused(save: Any, offset: int, path: Path) -> None:
    """In stored numbers by the checksum, in compressed ones by the decompression."""
    save(path, **ARRAYS | {"x_train": RANDOM.normal(size=(20, 400))})
    content = bytearray(path.read_bytes())
    start = content.find(b"x_train.npy") + offset
    content[start : start + 300] = b"\x55" * 300
    path.write_bytes(content)
    error = refused(path)
    assert error.where == str(path)
    assert "readable" in error.what


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        header((20, 4))[:-5],
        header((20, 4)) + bytes(319),
        header((20, 4)) + bytes(321),
        header((20, -4)) + bytes(320),
        header((20, 4), version=9) + bytes(320),
        header((20, 4), dtype="|O") + bytes(320),
        header((20, 4), dtype="nonsense") + bytes(320),
    ],
    ids=lambda it: f"{it[:8]!r} of {len(it)}",
)
def test_an_invalid_array_is_refused(content: bytes, path: Path) -> None:
    """No magic, a header cut off, too few or too many bytes, an unknown version or dtype."""
    assert refused(with_member(path, content)).where == str(path)


def test_the_header_of_numpys_third_version_is_read(path: Path) -> None:
    """NumPy writes it where a field's name is not Latin-1; it is like the second one."""
    content = header((20, 4), version=3) + ARRAYS["x_train"].tobytes()
    found = opened(with_member(path, content))
    np.testing.assert_array_equal(array(found.train.inputs[0]), ARRAYS["x_train"])


def test_a_shape_bomb_is_refused_without_allocating_it(path: Path) -> None:
    """320 bytes that declare 2 GB; NumPy would allocate them before it reads."""
    with_member(path, header((2**27, 4)) + bytes(320))
    tracemalloc.start()
    try:
        error = refused(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert "2,147,483,648 bytes" in error.what
    assert "holds 320" in error.what


def test_a_shape_bomb_with_a_false_archive_directory_is_refused(path: Path) -> None:
    """16 TB in the header and in the archive's directory: there is no MemoryError."""
    np.savez(path, **{name: it for name, it in ARRAYS.items() if name != "x_train"})
    content = header((10**12, 4))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content + bytes(320))
        archive.filelist[-1].file_size = len(content) + 16 * 10**12
    assert refused(path).where == str(path)


@pytest.mark.parametrize(("field", "value"), [("flag_bits", 1), ("compress_type", 99)])
def test_an_archive_with_encryption_or_unknown_compression_is_refused(
    field: str, value: int, path: Path
) -> None:
    """zipfile raises other errors for these."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = content.find(mark)
        while start >= 0:
            content[start + offset + (0 if field == "flag_bits" else 2)] = value
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert getattr(archive.infolist()[0], field) == value
    assert refused(path).where == str(path)


@pytest.mark.parametrize("shape", [(19, 4), (21, 4), ()])
def test_arrays_of_different_rows_are_refused_with_both_shapes(
    shape: tuple[int, ...], path: Path
) -> None:
    """The message has the split, the arrays and their shapes."""
    np.savez(path, **ARRAYS | {"x_train": np.zeros(shape, "float32")})
    error = refused(path)
    for part in ("train split", f"x_train has the shape {shape}", "y_train has (20,)"):
        assert part in error.what


@pytest.mark.parametrize("which", ["train", "test"])
def test_an_empty_split_is_refused(which: str, path: Path) -> None:
    """It trains or proves nothing."""
    empty: dict[str, Any] = {f"{kind}_{which}": ARRAYS[f"{kind}_{which}"][:0] for kind in "xy"}
    np.savez(path, **ARRAYS | empty)
    with pytest.raises(InputError, match=f"{which} split has no rows") as caught:
        open_dataset(source_of([path], [X], [Y]), config(), 7)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "|b1"])
def test_large_arrays_go_to_the_scratch_disk(save: Any, dtype: str, path: Path) -> None:
    """Also those in Fortran order, which are unpacked first; targets stay in memory."""
    x = (RANDOM.normal(size=(20, 3, 2)) * 3).astype(dtype)
    for laid_out in (x, np.asfortranarray(x)):
        save(path, **ARRAYS | {"x_train": laid_out})
        source = source_of([path], [X], [Y], memory_bytes=0)
        found = open_npz(source, config()).train
        assert isinstance(found.inputs[0], LazyRows)
        assert found.inputs[0].dtype.isnative
        np.testing.assert_array_equal(array(found.inputs[0]), x)
        np.testing.assert_array_equal(found.targets[0], ARRAYS["y_train"])
        assert len(list(source.store.folder.iterdir())) == 2


def test_an_array_in_fortran_order_is_never_in_memory_as_a_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 MB, in parts of 1 MB; there must be room for what is unpacked."""
    monkeypatch.setattr("job.rows.lazy.PART_BYTES", 1 << 20)
    x = np.asfortranarray(np.arange(8 << 20, dtype="float32").reshape(-1, 64))
    np.savez(path, x=x)
    asked = config(train={"inputs": "x"})
    tracemalloc.start()
    try:
        found = open_npz(source_of([path], [X], [Y], memory_bytes=0), asked).train.inputs[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6e6
    np.testing.assert_array_equal(array(found), x)
    small = source_of([path], [X], [Y], memory_bytes=0, cache_bytes=x.nbytes - 1)
    with pytest.raises(InputError, match="scratch disk") as caught:
        open_npz(small, asked)
    assert caught.value.where == "dataset.cache_bytes"
