"""The one protocol of storage: a local disk, S3-compatible stores and web servers are behind it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from job.errors import ManifestError
from job.manifest.storage import StorageConfig
from job.storage.place import Place
from job.text import PathsAsText

if TYPE_CHECKING:
    from job.storage.s3_client import Store

Advance = Callable[[int], None]
"""Called with the number of bytes that were transferred since the last call."""

# Objects that a run wrote have this in their metadata; files that paredown did not create have not.
RUN_ID_KEY = "paredown-run-id"
# A result has some hundred bytes for each layer of the model.
MAX_RESULT_BYTES = 1 << 28
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Item:
    """A file or an object; there may be a million."""

    name: str
    """Its name in the folder that was listed, ``/`` between the parts."""
    place: Place
    bytes: int
    etag: str | None = None
    """Changes when the content does; None where there is no such thing."""
    sha256: str | None = None
    """The content's, where it is known."""


@dataclass(frozen=True)
class Found:
    """What a URI names: a file; several, by a folder or a pattern; or a model's folder."""

    place: Place
    items: tuple[Item, ...]
    is_folder: bool = False
    """Whether it is a model's folder, whose digest is that of a tar of it."""
    digest: tuple[int, str] | None = None
    """Bytes and SHA-256, where they are known without fetching anything."""

    @property
    def bytes(self) -> int:
        """Of all items."""
        return sum(item.bytes for item in self.items)

    @property
    def mark(self) -> str | None:
        """Changes when any of the contents does; None where that can't be known."""
        if self.place.scheme == "file" or any(item.etag is None for item in self.items):
            return None
        lines = [f"{item.place} {item.bytes} {item.etag}\n" for item in self.items]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Downloaded:
    """A downloaded file, verified to be the object."""

    bytes: int
    sha256: str
    verified: str
    """How it was verified, for messages."""


@dataclass(frozen=True)
class Fetched:
    """An input on this machine."""

    paths: Mapping[str, Path]
    """By name, in the order of the names; a model's folder is one path."""
    digest: tuple[int, str]
    """Bytes and SHA-256."""
    verified: str
    """How it was verified; empty for what was on this machine already."""
    mark: str | None = None
    """``Found.mark``."""

    @property
    def local_files(self) -> dict[str, str]:
        """The paths as text, by name."""
        if isinstance(self.paths, PathsAsText):
            return dict(self.paths.texts)
        return {name: str(path) for name, path in self.paths.items()}


@dataclass(frozen=True)
class Upload:
    """A file to be uploaded."""

    path: Path
    bytes: int
    sha256: str
    place: Place
    metadata: Mapping[str, str]
    media_type: str = OCTETS


class Reader(Protocol):
    """Where inputs may be.

    ``doing`` is what is being done, as a sentence's start ("Reading the model"), for messages. All
    methods raise InputError where access is denied, and StorageError where the storage fails.
    """

    def stat(self, place: Place, doing: str) -> Item | None:
        """What is known of one file; None where there is no file of that name. A local file is
        read for its SHA-256.
        """

    def listing(
        self, folder: Place, doing: str, *, pattern: str = "**", first: str = "", last: str = ""
    ) -> Iterator[Item]:
        """All files in a folder, at any depth; none if there is no such folder.

        Args:
            folder: The folder. Names are relative to it.
            doing: For messages.
            pattern: Names that do not match it may be left out.
            first: With ``last``: only files in its folders from one name to the other, each with a
                slash at its end. A store whose listings are not sorted by keys (``a/`` before
                ``a-b/``) may leave some out.
            last: The last of these folders.
        """

    def read(self, place: Place, limit: int, doing: str) -> bytes | None:
        """A small file's content; None where it is not there. InputError where it has more than
        ``limit`` bytes.
        """

    def download(self, targets: Mapping[Item, Path], advance: Advance) -> list[Downloaded]:
        """Download files to paths and verify them, in their order. InputError where one was changed
        since it was found.
        """


class Backend(Reader, Protocol):
    """Where results may be."""

    @property
    def is_locked(self) -> bool:
        """Whether ``claim`` keeps other runs away."""

    def claim(self, folder: Place, wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Make the folder and lock it against other runs, where possible; ``wait`` is called before
        waiting.
        """

    def has(self, place: Place, size: int, sha256: str) -> bool:
        """Whether a file is there with this content."""

    def write(
        self, place: Place, content: bytes, metadata: Mapping[str, str], media_type: str = OCTETS
    ) -> None:
        """Write a small file, whatever is there."""

    def create(
        self,
        place: Place,
        content: bytes,
        metadata: Mapping[str, str],
        media_type: str = OCTETS,
        replaces: str | None = None,
    ) -> str | None:
        """Write a small file, unless there is another one than that with the ETag ``replaces``.

        Returns:
            The new file's ETag; None where another file was there. The answer to our own request
            may have been lost, and then it is our own file: whoever calls this looks.
        """

    def upload(self, upload: Upload, advance: Advance) -> None:
        """Upload a file and verify what the store has."""

    def delete(self, place: Place) -> None:
        """Delete a file; one that is not there is deleted already."""

    def foreign(self, folder: Place, names: Collection[str]) -> list[str]:
        """Which of these names in a folder belong to files that paredown did not create."""

    def prepare(self, folder: Place, begun: Place, run_id: str) -> None:
        """Make sure that the folder can be written to, by writing; ``begun`` is where a run may
        leave a trace.
        """

    def publishing(self, folder: Place, names: Collection[str]) -> AbstractContextManager[None]:
        """While this lasts, files of these names are written; ``foreign`` knows of a killed one."""

    def clear(self, folder: Place, below: Place) -> None:
        """Delete everything in the folder ``below``, and what a killed run left half-uploaded in
        ``folder``.
        """


class Stores:
    """The storage of a run: a client for each way to reach a store, made when it is needed.

    boto3 takes a third of a second to import: it is imported then, and not by a run that reads and
    writes the local disk only.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Make no client yet.

        Args:
            warn: Called with what a user should know of: that a store fails, what it can't do.
        """
        self._warn = warn
        self._warned: set[str] = set()
        self._stores: dict[StorageConfig, Store] = {}
        self._web: Counter[str] = Counter()

    def warn(self, message: str) -> None:
        """Warn, once of each thing: each client, and each request, may find it out again."""
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)

    def get(self, config: StorageConfig) -> Store:
        """The S3 client for a configuration.

        Raises:
            InputError: Where the AWS configuration does not make one.
        """
        from job.storage.s3_client import Store

        if config not in self._stores:
            self._stores[config] = Store(config, self.warn)
        return self._stores[config]

    def reader(self, place: Place, config: StorageConfig) -> Reader:
        """The backend that reads a place.

        Raises:
            InputError: Where the AWS configuration does not make a client.
        """
        if place.scheme == "https":
            from job.storage.https import Https

            return Https(config, self)
        return self.backend(place, config)

    def backend(self, place: Place, config: StorageConfig) -> Backend:
        """The backend that reads and writes a place.

        Raises:
            ManifestError: Where nothing can be written there.
            InputError: Where the AWS configuration does not make a client.
        """
        match place.scheme:
            case "file":
                from job.storage.local import Local

                return Local()
            case "s3":
                from job.storage.s3 import S3

                return S3(self.get(config))
            case "https":
                raise ManifestError(
                    "Results can't be written to a web server.",
                    where=str(place),
                    hint="Choose a folder, or s3://bucket/prefix.",
                )

    def count(self, operation: str) -> None:
        """Count a request to a web server that is sent again; the first is reported."""
        if not self._web:
            self.warn(f"The web server failed or did not answer ({operation}); it is asked again.")
        self._web[operation] += 1

    @property
    def retries(self) -> dict[str, int]:
        """By operation, the requests that were sent again."""
        total = sum((store.retries for store in self._stores.values()), self._web)
        return dict(sorted(total.items()))
