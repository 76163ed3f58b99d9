"""Whether what was found may be downloaded: asked before the first byte is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from job.errors import InputError, StorageError
from job.storage.found import Found

# What stays free on the disk of the downloads.
RESERVE_BYTES = 64 << 20


def refuse_large(found: Found, most: int) -> None:
    """Refuse files and objects that are larger than ``storage.max_object_bytes``.

    Raises:
        InputError: Where one is.
    """
    for item in found.items:
        if item.bytes > most:
            raise InputError(
                f"The download has {item.bytes:,} bytes, more than storage.max_object_bytes "
                f"({most:,}).",
                where=str(item.place),
                hint="Check that it is the right one; if it is, raise max_object_bytes.",
            )


def refuse_full_disk(found: Iterable[Found], folder: Path) -> None:
    """Refuse what the folder's disk has no room for.

    Raises:
        StorageError: Where it has none.
    """
    size, free = sum(it.bytes for it in found), shutil.disk_usage(folder).free
    if size + RESERVE_BYTES > free:
        raise StorageError(
            f"There is no room for the download: {size:,} bytes, and {free:,} are free.",
            where=str(folder),
            hint="Free some space, or point TMPDIR at a larger disk.",
        )
