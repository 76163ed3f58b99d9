"""Where results go. A destination holds one run; its ``result.json`` is written last.

While a run is under way, what it has done so far is kept in ``.resume/<run_id>/`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from job.errors import ManifestError
from job.manifest.storage import StorageConfig
from job.storage.place import Place
from job.storage.stores import Stores

RESUME = ".resume"
# What objects are marked with, so that those of a killed run are told from somebody's own.
RUN_ID_KEY = "paredown-run-id"


@dataclass(frozen=True)
class Publication:
    """What is published: the files of a folder, in the order in which they are written."""

    folder: Path
    files: list[str]
    """The last one's presence means that all the others are there."""
    replaced: list[str]
    """Files of an earlier result that is replaced."""
    metadata: Mapping[str, str]
    """What is written with each, where the storage can."""
    stands: Callable[[bytes], bool]
    """Whether a result that somebody else has published meanwhile is as good as this one."""

    @property
    def last(self) -> str:
        """The file that is written last."""
        return self.files[-1]


class Destination(Protocol):
    """A folder or a prefix that results go to. All methods raise InputError where access is denied
    and StorageError where the storage fails.
    """

    @property
    def place(self) -> Place:
        """Where it is."""

    def claimed(self, wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Keep it from other runs, where the storage can; ``wait`` is called before waiting."""

    def read(self, name: str) -> bytes | None:
        """A small file's content; None where it is not there."""

    def missing(self, files: Mapping[str, tuple[int, str]]) -> list[str]:
        """Which files (name to bytes and SHA-256) are not there, or are others."""

    def prepare(self, run_id: str, protected: Collection[str]) -> None:
        """Make sure, before any work, that results can be written and hurt nobody else's files.

        Args:
            run_id: The run that is going to write.
            protected: Names that must not be there, unless a killed run has left them.

        Raises:
            ManifestError: Where they are there.
        """

    def publish(self, it: Publication, advance: Callable[[int], None]) -> bytes:
        """Put all files there; ``advance`` is told how many more bytes are.

        Returns:
            The content of the last file that is there now: another run's, where that was first.
        """

    def restore(self, run_id: str, folder: Path) -> list[str]:
        """Fetch what a killed run has kept into a folder; what is damaged is left out.

        Returns:
            What had to be left out, in words.
        """

    def keep(self, run_id: str, folder: Path) -> None:
        """Put there what a folder holds by now; see ``resume/transfer.py``."""

    def forget(self) -> None:
        """Remove everything that was kept, and what was broken off."""


def open_destination(place: Place, stores: Stores, config: StorageConfig) -> Destination:
    """The destination at a place.

    Raises:
        ManifestError: Where nothing can be written to such a place.
        InputError: Where the AWS configuration does not make a client.
    """
    match place.scheme:
        case "file":
            from job.storage.local_destination import LocalDestination

            return LocalDestination(place)
        case "s3":
            from job.storage.s3_destination import S3Destination

            return S3Destination(place, stores.get(config))
        case "https":
            raise ManifestError(
                "Results can't be written to a web server.",
                where=str(place),
                hint="Choose a folder, or s3://bucket/prefix.",
            )
