"""folder: the same files give the same tar."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from job.errors import InputError
from job.safety.folder import measure, pack


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
