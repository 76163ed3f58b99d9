"""A folder packed as a reproducible tar: the same contents give the same bytes."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import IO, Any, cast

from job.errors import InputError
from job.safety.archive import judge_entries

GRAPH = "saved_model.pb"


class _Digest(io.RawIOBase):
    """Computes the size and the SHA-256 of what is written to it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        self.bytes += len(content)
        return len(content)

    def tell(self) -> int:
        return self.bytes


def measure(folder: Path, where: str) -> tuple[int, str]:
    """Bytes and SHA-256 (hexadecimal) of the tar that ``pack`` writes.

    Raises:
        InputError: If the folder holds no SavedModel, or a link.
        OSError: If a file can't be read.
    """
    if not (folder / GRAPH).is_file():
        raise InputError(
            f"The folder is no SavedModel: there is no {GRAPH} in it.",
            where=where,
            hint="Name a model file, or the folder that model.save(..., save_format='tf') wrote.",
        )
    digest = _Digest()
    pack(folder, cast(IO[bytes], digest), where)
    return digest.bytes, digest.sha256.hexdigest()


def pack(folder: Path, file: IO[bytes], where: str) -> None:
    """Write a folder's files into a tar, sorted by name, without times and owners.

    Raises:
        InputError: If there is a link in it.
        OSError: If a file can't be read or written.
    """
    archive = judge_entries(folder, where)
    with tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tape:
        for name, size in sorted(archive.sizes.items()):
            member = tarfile.TarInfo(name)
            member.size = size
            member.mode = 0o644
            with (folder / name).open("rb") as content:
                tape.addfile(member, content)
