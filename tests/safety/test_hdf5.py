"""hdf5: a model file that refers to other files, or declares more than it holds, is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.models.load import read
from job.safety.hdf5 import judge_hdf5

layers = tf_keras.layers
KERNEL = "model_weights/dense/dense/kernel:0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A valid model file."""
    path = tmp_path / "m.h5"
    model = tf_keras.Sequential([layers.InputLayer((4,)), layers.Dense(3, name="dense")])
    model.save(path, save_format="h5")
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside the model, as HDF5 and as bytes."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = np.arange(12, dtype="float32").reshape(4, 3)
    return path


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        judge_hdf5(path, str(path))
    with pytest.raises(InputError):
        read(path)
    return caught.value


def test_the_attributes_of_a_valid_file_are_read(path: Path) -> None:
    """The configuration and the version, as text; also with compressed weights."""
    with h5py.File(path, "r+") as file:
        kernel = file[KERNEL][:]
        del file[KERNEL]
        file.create_dataset(KERNEL, data=kernel, compression="gzip")
    found = judge_hdf5(path, str(path)).attributes
    assert set(found) == {"model_config", "keras_version", "backend"}
    assert found["keras_version"] == tf_keras.__version__
    np.testing.assert_array_equal(read(path).model.get_layer("dense").kernel.numpy(), kernel)


def test_links_to_other_files_are_refused(path: Path, secret: Path) -> None:
    """An external link instead of a kernel would read any HDF5 file; its place is named."""
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink(str(secret), "/kernel")
        np.testing.assert_array_equal(file[KERNEL][:].ravel(), range(12))  # it works
    error = refused(path)
    assert "links" in error.what
    assert error.where.endswith(KERNEL)


def test_links_within_the_file_are_refused(path: Path) -> None:
    """Keras writes none; a soft link could be circular."""
    with h5py.File(path, "r+") as file:
        file["model_weights/dense/again"] = h5py.SoftLink("/model_weights")
    assert "links" in refused(path).what


def test_circular_groups_are_checked_once(path: Path) -> None:
    """With a hard link to a parent group."""
    with h5py.File(path, "r+") as file:
        file["model_weights/dense/above"] = file["model_weights"]
    assert "model_config" in judge_hdf5(path, str(path)).attributes


def test_data_from_other_files_is_refused(path: Path, secret: Path) -> None:
    """External storage reads the bytes of any file; a virtual data set those of HDF5 files."""
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file.create_dataset(KERNEL, (4, 3), "float32", external=[(str(secret), 0, 48)])
    assert "other files" in refused(path).what
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        layout = h5py.VirtualLayout((4, 3), "float32")
        layout[:] = h5py.VirtualSource(str(secret), "kernel", (4, 3))
        file.create_virtual_dataset(KERNEL, layout)
    assert "other files" in refused(path).what


@pytest.mark.parametrize("chunks", [None, (1024, 1024)])
def test_a_shape_bomb_is_refused_without_allocating_it(
    chunks: tuple[int, int] | None, path: Path
) -> None:
    """A data set that declares a petabyte and holds nothing (CVE-2026-0897)."""
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file.create_dataset(KERNEL, (2**24, 2**24), "float32", chunks=chunks)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        error = refused(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert "1,125,899,906,842,624 bytes" in error.what
    assert error.where.endswith(KERNEL)
