"""Small files beside the results: a folder and a bucket are the same to whoever reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from job.errors import InputError, ManifestError
from job.manifest.storage import StorageConfig
from job.storage.backend import Stores
from job.storage.destination import Notes
from job.storage.place import Place
from tests.storage.conftest import Behind
from tests.support.identities import RESULTS

Open = Callable[[str], Notes]


@pytest.fixture(params=["file", "s3"])
def at(request: pytest.FixtureRequest, near: Behind, prefix: str, tmp_path: Path) -> Open:
    """Opens notes below a test's own folder or prefix."""

    def open_at(path: str) -> Notes:
        if request.param == "file":
            place = Place("file", str(tmp_path / path))
        else:
            place = Place("s3", f"{prefix}{path}", RESULTS)
        stores = Stores(near.warnings.append)
        stores._stores[StorageConfig()] = near.store()
        return Notes(place, stores, StorageConfig())

    return open_at


def test_what_is_written_is_read(at: Open) -> None:
    """Also in folders that were not there; what is not there is None."""
    notes = at("top")
    assert notes.read("a/b.json") is None
    notes.write("a/b.json", b"one")
    notes.write("a/b.json", b"two")
    assert notes.read("a/b.json") == b"two"
    notes.remove("a/b.json")
    notes.remove("a/b.json")
    assert notes.read("a/b.json") is None


def test_the_first_who_creates_a_file_has_it(at: Open) -> None:
    """The second changes nothing, and leaves nothing."""
    notes = at("top")
    notes.create("plans/one", b"mine")
    notes.create("plans/one", b"theirs")
    assert notes.read("plans/one") == b"mine"
    assert [it.name for it in notes.files()] == ["plans/one"]


def test_files_are_listed_by_ranges_of_folders(at: Open) -> None:
    """From one folder to another, both with all that is in them."""
    notes = at("top")
    assert list(notes.files()) == []
    for name in ("a/1", "a/x/2", "ab/3", "b/4", "c/5", "loose"):
        notes.write(name, name.encode())
    at("toppled").write("a/6", b"")
    assert sorted(it.name for it in notes.files()) == [
        *("a/1", "a/x/2", "ab/3", "b/4", "c/5", "loose")
    ]
    assert [it.bytes for it in notes.files("c/")] == [3]
    assert {it.name for it in notes.files(first="a/", last="ab/")} == {"a/1", "a/x/2", "ab/3"}
    assert {it.name for it in notes.files(first="ab/", last="ab/")} == {"ab/3"}
    assert {it.name for it in notes.files(first="aa/", last="aa/")} == set()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe would be waited for without an end; and the message says what was being done."""
    notes = Notes(Place("file", str(tmp_path)), Stores(print), StorageConfig())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="Looking at the results failed: this is no file"):
        notes.read("pipe")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Writing the results failed: File exists"):
        notes.write("file/x", b"")


def test_a_web_server_takes_no_notes() -> None:
    """The message says where they can be."""
    place = Place("https", "/out", "example.org")
    with pytest.raises(ManifestError, match="can't be written to a web server"):
        Notes(place, Stores(print), StorageConfig())
