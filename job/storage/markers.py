"""Small files beside the results of runs: written, read, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from job.manifest.storage import StorageConfig
from job.storage.backend import MAX_RESULT_BYTES, Backend, Item, Stores
from job.storage.place import Place

DOING = "Looking at the results"


class Notes:
    """A folder or prefix. All methods raise InputError where access is denied, and StorageError
    where the storage fails.
    """

    def __init__(self, place: Place, backend: Backend) -> None:
        self.place = place
        self._backend = backend

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is not there."""
        return self._backend.read(self.place.child(name), MAX_RESULT_BYTES, DOING)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever is there."""
        self._backend.write(self.place.child(name), content, {})

    def create(self, name: str, content: bytes) -> None:
        """Write a file, unless one is there."""
        self._backend.create(self.place.child(name), content, {})

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is deleted already."""
        self._backend.delete(self.place.child(name))

    def files(self, below: str = "", first: str = "", last: str = "") -> Iterator[Item]:
        """All files in the folder ``below``, which is empty or ends with a slash; for ``first`` and
        ``last`` see ``Reader.listing``.
        """
        folder = self.place.child(below.rstrip("/")) if below else self.place
        for item in self._backend.listing(folder, DOING, first=first, last=last):
            yield replace(item, name=f"{below}{item.name}")


def open_notes(place: Place, stores: Stores, config: StorageConfig) -> Notes:
    """The notes at a place.

    Raises:
        ManifestError: Where nothing can be written to such a place.
    """
    return Notes(place, stores.backend(place, config))
