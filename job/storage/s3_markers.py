"""Small files beside the results, in a bucket; see ``notes.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from job.manifest.storage import StorageConfig
from job.storage import s3_read, s3_write
from job.storage.found import Item
from job.storage.place import Place
from job.storage.s3_destination import MAX_RESULT_BYTES
from job.storage.s3_errors import in_words
from job.storage.stores import Stores

DOING = "Looking at the results"


class S3Notes:
    """Below a prefix in a bucket."""

    def __init__(self, place: Place, stores: Stores, config: StorageConfig) -> None:
        self.place = place
        self._store = stores.get(config)

    def read(self, name: str) -> bytes | None:
        """One GET request."""
        return s3_read.read(self._store, self.place.child(name), MAX_RESULT_BYTES, DOING)

    def write(self, name: str, content: bytes) -> None:
        """One PUT request."""
        s3_write.put(self._store, self.place.child(name), content, {})

    def create(self, name: str, content: bytes) -> None:
        """One PUT request, on the condition that no such object is there."""
        s3_write.put_if(self._store, self.place.child(name), content, {}, None)

    def remove(self, name: str) -> None:
        """One DELETE request."""
        s3_write.remove(self._store, self.place.child(name))

    def files(self, below: str = "", first: str = "", last: str = "") -> Iterator[Item]:
        """One LIST request for a thousand."""
        path = self.place.path.rstrip("/")
        top = len(f"{path}/") if path else 0
        prefix = replace(self.place, path=f"{path}/{below}" if path else below)
        with in_words(DOING, prefix):
            start = f"{prefix.path}{first}"
            for it in s3_read.listing(self._store, prefix, after=start if first else ""):
                end = f"{prefix.path}{last}"
                if last and it["Key"] > end and not it["Key"].startswith(end):
                    return
                place = replace(self.place, path=it["Key"])
                yield Item(it["Key"][top:], place, it["Size"], it.get("ETag"))
