"""Where inputs come from, by the scheme of their URIs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from job.manifest.storage import StorageConfig
from job.storage.found import Advance, Fetched, Found
from job.storage.place import Place
from job.storage.stores import Stores

# Imported when they are needed: boto3 takes a third of a second.
MODULES = {
    "file": "job.storage.local_source",
    "s3": "job.storage.s3_source",
    "https": "job.storage.https",
}


class Source(Protocol):
    """What each of the modules has."""

    def find_model(self, place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
        """A model's file or folder. Raises InputError and StorageError."""

    def find_data(self, place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
        """A data set's files. Raises InputError and StorageError."""

    def fetch(
        self, found: Found, folder: Path, stores: Stores, config: StorageConfig, advance: Advance
    ) -> Fetched:
        """What was found, on this machine. Raises InputError and StorageError."""


def source(place: Place) -> Source:
    """The module for a place."""
    return cast("Source", importlib.import_module(MODULES[place.scheme]))
