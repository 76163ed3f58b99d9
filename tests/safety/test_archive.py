"""archive: dangerous archives are refused before or while they are unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from job.errors import InputError
from job.models.load import read

layers = keras.layers


def archive(path: Path, change: Callable[[zipfile.ZipFile], None]) -> Path:
    """A valid file with an addition to its archive."""
    keras.Sequential([keras.Input((4,)), layers.Dense(2)]).save(path)
    with zipfile.ZipFile(path, "a") as file:
        change(file)
    return path


def link(file: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("assets/passwd")
    entry.external_attr = 0o120777 << 16
    file.writestr(entry, "/etc/passwd")


def bomb(file: zipfile.ZipFile) -> None:
    file.writestr("assets/zeros", bytes(1 << 27), zipfile.ZIP_DEFLATED)


def packed_otherwise(file: zipfile.ZipFile) -> None:
    file.writestr("assets/words", bytes(100), zipfile.ZIP_BZIP2)


def understated(file: zipfile.ZipFile) -> None:
    file.getinfo("model.weights.h5").file_size //= 2
    file.writestr("assets/words", "so that the directory is written anew")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: file.writestr("../evil.py", "x"), "leads out of it"),
        (lambda file: file.writestr("/etc/evil", "x"), "leads out of it"),
        (link, "is a link"),
        (bomb, "unpacks the file of"),
        (packed_otherwise, "packed in a way"),
        (understated, "Bad CRC-32"),
    ],
)
def test_dangerous_archives_are_refused(
    change: Callable[[zipfile.ZipFile], None], says: str, tmp_path: Path
) -> None:
    """By the archive's directory, or while the weights are extracted for validation."""
    with pytest.raises(InputError, match=says):
        read(archive(tmp_path / "m.keras", change))
    assert not (tmp_path / "evil.py").exists()
