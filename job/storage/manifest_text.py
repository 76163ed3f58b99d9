"""A manifest's text; a module of its own, so that commands that only read a manifest start fast."""

from __future__ import annotations

import sys
from collections.abc import Callable

from job.errors import InputError, ManifestError, from_os_error
from job.manifest.storage import StorageConfig
from job.storage.place import Place

# No manifest is larger; /dev/zero is.
MAX_BYTES = 1 << 26
READING = "Reading the manifest"


def read_manifest_text(place: Place | None, warn: Callable[[str], None]) -> str:
    """A manifest's text.

    Args:
        place: Where it is; None for standard input.
        warn: Called where a store has to be asked again.

    Raises:
        ManifestError: Where it is too large, is not UTF-8, or can't be read from this machine.
        InputError: Where a store or a server refuses it.
        StorageError: Where one fails.
    """
    where = "standard input" if place is None else str(place)
    try:
        content = _local(place) if place is None or place.scheme == "file" else _remote(place, warn)
        if len(content) > MAX_BYTES:
            raise ManifestError(f"A manifest has at most {MAX_BYTES:,} bytes.", where=where)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"The manifest is no UTF-8 text: {error.reason} at byte {error.start}.", where=where
        ) from None
    except OSError as error:
        refusal = from_os_error(error, READING, writing=False)
        hint = "Give a path, a URI (file://, s3://, https://), or - for standard input."
        raise ManifestError(refusal.what, where=where, hint=hint) from None


def _local(place: Place | None) -> bytes:
    if place is not None:
        with place.local.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)


def _remote(place: Place, warn: Callable[[str], None]) -> bytes:
    """From a store as the environment describes it: its manifest is not read yet."""
    from job.storage.backend import Stores

    content = Stores(warn).reader(place, StorageConfig()).read(place, MAX_BYTES, READING)
    if content is None:
        raise InputError(
            f"{READING} failed: there is no such object.", where=str(place), hint="Check the URI."
        )
    return content
