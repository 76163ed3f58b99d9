"""Inputs on this machine: they are read where they are."""

from __future__ import annotations

from pathlib import Path

from job.errors import from_os_error
from job.manifest.storage import StorageConfig
from job.safety import folder
from job.storage import local
from job.storage.find import find_files, measure_together
from job.storage.found import Advance, Fetched, Found, Item
from job.storage.place import Place
from job.storage.stores import Stores

MODEL = "Reading the model"
DATA = "Reading the data set"


def find_model(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """A model's file or folder, with its digest.

    Raises:
        InputError: Where it is missing or can't be read.
    """
    path = place.local
    if not path.is_dir():
        size, sha256 = local.measure(path, MODEL)
        return Found(place, (Item(place.name, place, size, None, sha256),), digest=(size, sha256))
    try:
        size, sha256 = folder.measure(path, str(path))
    except OSError as error:
        raise from_os_error(error, MODEL, writing=False) from None
    return Found(place, (Item(place.name, place, size),), is_folder=True, digest=(size, sha256))


def find_data(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """The files of a data set, with their digest.

    Raises:
        InputError: Where one is missing or can't be read, or none matches.
    """
    near = base.local if base.scheme == "file" else Path("/")
    files = find_files(place.local, near, "*.npz", DATA)
    measured = {name: local.measure(path, DATA) for name, path in files.items()}
    items = (
        Item(name, Place("file", str(files[name])), size, None, sha256)
        for name, (size, sha256) in measured.items()
    )
    return Found(place, tuple(items), digest=measure_together(measured))


def fetch(
    found: Found, folder: Path, stores: Stores, config: StorageConfig, advance: Advance
) -> Fetched:
    """Nothing is copied."""
    assert found.digest is not None  # it was measured when it was found
    advance(found.bytes)
    return Fetched({it.name: it.place.local for it in found.items}, found.digest, "")
