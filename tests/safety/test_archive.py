"""Archives are validated before anything is unpacked; folders are packed reproducibly."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from job.errors import InputError
from job.models.load import read
from job.safety.archive import measure, pack

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


def model(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_the_tar_only_depends_on_names_and_contents(tmp_path: Path) -> None:
    """Not on times, modes, or the order in which the files were made."""
    names = ("saved_model.pb", "variables/a", "assets/b")
    first = model(tmp_path / "first", *names)
    second = model(tmp_path / "second", *reversed(names))
    os.utime(second / "saved_model.pb", (1, 1))
    (second / "saved_model.pb").chmod(0o600)
    found = measure(first, "here")
    assert measure(second, "here") == found
    with (tmp_path / "m.tar").open("wb") as file:
        pack(first, file, "here")
    content = (tmp_path / "m.tar").read_bytes()
    assert found == (len(content), hashlib.sha256(content).hexdigest())
    (second / "assets" / "b").write_text("c")
    assert measure(second, "here")[1] != found[1]


def test_a_folder_that_is_no_saved_model_is_not_read(tmp_path: Path) -> None:
    """It could be a whole disk."""
    with pytest.raises(InputError, match="no SavedModel") as caught:
        measure(model(tmp_path, "a"), "here")
    assert caught.value.where == "here"


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    """It could add any file to the tar."""
    folder = model(tmp_path / "m", "saved_model.pb")
    (folder / "secret").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        measure(folder, "here")
