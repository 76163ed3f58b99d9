"""Small files beside the results that are none of a run's: written, read, listed, removed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from job.errors import ManifestError, from_os_error
from job.manifest.storage import StorageConfig
from job.storage import local
from job.storage.found import Item
from job.storage.place import Place
from job.storage.stores import Stores

DOING = "Looking at the results"


class Notes(Protocol):
    """A folder or prefix. All methods raise InputError where access is denied, and StorageError
    where the storage fails.
    """

    @property
    def place(self) -> Place:
        """Where it is."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever is there."""

    def create(self, name: str, content: bytes) -> None:
        """Write a file, unless one is there."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is removed already."""

    def files(self, below: str = "", first: str = "", last: str = "") -> Iterator[Item]:
        """All files in the folder ``below``, which is empty or ends with a slash; where ``first``
        and ``last`` are given, those alone of the folders, in there, from one to the other. A store
        whose listings are not sorted by keys (``a/`` before ``a-b/``) may leave some out.
        """


def open_notes(place: Place, stores: Stores, config: StorageConfig) -> Notes:
    """The notes at a place.

    Raises:
        ManifestError: Where nothing can be written to such a place.
    """
    match place.scheme:
        case "file":
            return LocalNotes(place)
        case "s3":
            from job.storage.s3_markers import S3Notes

            return S3Notes(place, stores, config)
        case "https":
            raise ManifestError(
                "Results can't be on a web server.",
                where=str(place),
                hint="Choose a folder, or s3://bucket/prefix.",
            )


class LocalNotes:
    """In a folder."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def read(self, name: str) -> bytes | None:
        """The whole file."""
        path = self.place.local / name
        with _in_words():
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise OSError(errno.EINVAL, "this is no file", str(path))
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, content: bytes) -> None:
        """It appears whole."""
        target = self.place.local / name
        with _in_words(writing=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            local.put_bytes(content, target)

    def create(self, name: str, content: bytes) -> None:
        """It appears whole."""
        target = self.place.local / name
        mine = target.with_name(f"{local.PARTIAL}{os.getpid()}-{target.name}")
        with _in_words(writing=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            mine.write_bytes(content)
            try:
                with contextlib.suppress(FileExistsError):
                    os.link(mine, target)
            finally:
                mine.unlink()

    def remove(self, name: str) -> None:
        """The file alone; its folder stays."""
        with _in_words(writing=True), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (self.place.local / name).unlink()

    def files(self, below: str = "", first: str = "", last: str = "") -> Iterator[Item]:
        """As ``os.walk`` finds them."""
        top = self.place.local

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error  # fewer files would be found than there are

        with _in_words():
            for folder, folders, names in os.walk(top / below, onerror=refuse):
                is_top = folder == str(top / below)
                if is_top and first:
                    folders[:] = [it for it in folders if first <= f"{it}/" <= last]
                folders.sort()
                for name in [] if is_top and first else sorted(names):
                    path = Path(folder) / name
                    size = path.stat().st_size if path.exists() else 0
                    yield Item(path.relative_to(top).as_posix(), Place("file", str(path)), size)


@contextlib.contextmanager
def _in_words(*, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        doing = "Writing the results" if writing else DOING
        raise from_os_error(error, doing, writing=writing) from None
