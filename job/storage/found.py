"""What was found at a place, before any of it is here, and after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from job.storage.place import Place

Advance = Callable[[int], None]
"""Is told how many more bytes are here, or there."""


@dataclass(frozen=True)
class Item:
    """A file or an object."""

    name: str
    """Its name in the folder that it was found in, ``/`` between the parts."""
    place: Place
    bytes: int
    etag: str | None = None
    """Changes when the content does; None where nothing tells."""
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
        """Changes when any of the contents does; None where nothing tells."""
        if self.place.scheme == "file" or any(item.etag is None for item in self.items):
            return None
        lines = [f"{item.place} {item.bytes} {item.etag}\n" for item in self.items]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Downloaded:
    """A file that is known to be the object."""

    path: Path
    bytes: int
    sha256: str
    verified: str
    """How that is known, in words."""


@dataclass(frozen=True)
class Fetched:
    """An input on this machine."""

    paths: dict[str, Path]
    """By name, in the order of the names; a model's folder is one path."""
    digest: tuple[int, str]
    """Bytes and SHA-256."""
    verified: str
    """How it is known that this is what lies there; empty for what was on this machine."""
    mark: str | None = None
    """``Found.mark``."""
