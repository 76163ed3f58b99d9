"""judge: files that are not whole models of a known Keras are refused with a message."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import tf_keras

from job.errors import InputError
from job.models.load import read

layers = tf_keras.layers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small valid model file."""
    path = tmp_path / "m.h5"
    model = tf_keras.Sequential([layers.InputLayer((5, 4)), layers.Dense(3, name="dense")])
    model.save(path, save_format="h5")
    return path


def refused(path: Path) -> InputError:
    """The error of a file that is refused before Keras loads it."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in caught.value.where
    assert "Keras can't make" not in caught.value.what
    return caught.value


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    """Text, an empty file, a folder, a missing file, a broken zip archive, a .tflite."""
    path = tmp_path / "m.h5"
    for content, what in (
        (b"", "HDF5"),
        (b"not a model\n" * 500, "HDF5"),
        (b"PK\x03\x04" + bytes(5000), "truncated"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(5000), "converted already"),
    ):
        path.write_bytes(content)
        assert what in refused(path).what
    assert refused(tmp_path / "absent.h5").exit_code == 3
    assert refused(tmp_path).exit_code == 3


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_reported_as_truncated(fraction: float, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    error = refused(path)
    assert "truncated" in error.what
    assert "sha256" in error.hint


def test_weights_without_a_model_are_refused(path: Path) -> None:
    """save_weights writes no architecture; the hint names the right function."""
    tf_keras.models.load_model(path).save_weights(path)
    error = refused(path)
    assert "weights only" in error.what
    assert "model.save(" in error.hint


@pytest.mark.parametrize("version", ["4.0.0", "1.2.2", None])
def test_a_file_of_an_unknown_keras_version_is_refused(version: str | None, path: Path) -> None:
    """The file itself gives the version; without one it is from before Keras 2."""
    with h5py.File(path, "r+") as file:
        assert file.attrs["keras_version"].startswith("2.")
        del file.attrs["keras_version"]
        if version is not None:
            file.attrs["keras_version"] = version
    assert f"Keras {version or 1}" in refused(path).what


@pytest.mark.parametrize(
    "text",
    [
        *('{"class_name": "Seq', "", b"\xff\xfe\xfa", "NaN" * 3, '["class_name"]'),
        *('"Sequential"', "17", "null", "{}", "[" * 100_000),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_an_invalid_configuration_is_refused(text: str | bytes, path: Path) -> None:
    """Truncated, not text, not JSON, JSON of something else, and JSON that is nested too deeply."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    refused(path)
