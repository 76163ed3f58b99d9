"""A folder of checkpoints, on its way to storage and back, and its ``index.json``.

The index names the checkpoints, with the files of each, their SHA-256 and a record. It is written
last, under another name first, so what it names is complete; a file that it names never changes.
Nothing is ever unpickled: pydantic reads the records. In the file, a checkpoint is called a piece.

The child process writes a folder of flat files (see ``checkpoints.py``); the parent copies a
snapshot of it to the destination, and restores it from there in a later run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from job.errors import InputError, ParedownError
from job.result.artifact import file_digest
from job.result.record import Record

INDEX_FILE = "index.json"
# A plain file name: no checkpoint has files outside its folder.
CheckpointFile = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")]


class Checkpoint(Record):
    """A finished part of the work."""

    files: dict[CheckpointFile, str] = Field(default={})
    """Name in the folder -> SHA-256."""
    record: dict[str, Any] = Field(default={})


class Index(Record):
    """``index.json``."""

    pieces: dict[str, Checkpoint] = Field(default={})

    @property
    def files(self) -> dict[str, str]:
        """The files of all checkpoints: name in the folder -> SHA-256."""
        found: dict[str, str] = {}
        for checkpoint in self.pieces.values():
            found |= checkpoint.files
        return found


def parse_index(content: bytes) -> tuple[Index, list[str]]:
    """The index, and why checkpoints had to be left out of it."""
    try:
        entries = dict(json.loads(content)["pieces"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Index(), ["the index: it can't be read"]
    readable: dict[str, Checkpoint] = {}
    left_out = []
    for name, entry in entries.items():
        try:
            readable[name] = Checkpoint.model_validate(entry)
        except ValidationError:
            left_out.append(f"{name}: its entry can't be read")
    return Index(pieces=readable), left_out


def read_index(folder: Path) -> Index:
    """The index of a folder; an empty one where there is none.

    Raises:
        ValueError: Where a part of it can't be read.
        OSError: Where the file can't be read.
    """
    path = folder / INDEX_FILE
    index, left_out = parse_index(path.read_bytes()) if path.exists() else (Index(), [])
    if left_out:
        raise ValueError("; ".join(left_out))
    return index


def write_index(folder: Path, index: Index) -> None:
    """Write the index atomically.

    Raises:
        OSError: Where it can't be written.
    """
    partial = folder / f".{INDEX_FILE}"
    with partial.open("w", encoding="utf-8") as file:
        file.write(index.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / INDEX_FILE)


def link_or_copy(file: Path, target: Path) -> Path:
    """Give a file another name; it is copied where the disk has no hard links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
    return target


def read_content(folder: Path) -> tuple[bytes, dict[str, str]]:
    """The index's content, and the files that it names with their SHA-256.

    Raises:
        OSError: Where there is no index.
    """
    content = (folder / INDEX_FILE).read_bytes()
    return content, parse_index(content)[0].files


def snapshot(folder: Path, target: Path) -> bool:
    """Link the current checkpoints into another folder, while the child goes on replacing them.

    Args:
        folder: The folder of checkpoints.
        target: A folder on the same disk, which is empty or holds an earlier snapshot.

    Returns:
        Whether there are any checkpoints.

    Raises:
        OSError: Where a file is missing, or the disk is full.
    """
    while (folder / INDEX_FILE).exists():
        index, files = read_content(folder)
        try:
            for name in files:
                link_or_copy(folder / name, target / name)
        except FileNotFoundError:
            if (folder / INDEX_FILE).read_bytes() == index:
                raise
        else:
            (target / INDEX_FILE).write_bytes(index)
            return True
    return False


def restore(content: bytes | None, folder: Path, fetch: Callable[[str, Path], None]) -> list[str]:
    """Fetch the checkpoints that an index names.

    Args:
        content: The index's content; None where there is none.
        folder: An empty folder.
        fetch: Writes the file of a name to a path.

    Returns:
        Why checkpoints were left out: those whose files are missing or damaged.

    Raises:
        ParedownError: Where the storage fails.
    """
    if content is None:
        return []
    index, left_out = parse_index(content)
    restored: dict[str, Checkpoint] = {}
    for name, checkpoint in index.pieces.items():
        reason = _fetch_files(checkpoint, folder, fetch)
        if reason:
            left_out.append(f"{name}: {reason}")
        else:
            restored[name] = checkpoint
    if restored:
        write_index(folder, Index(pieces=restored))
    return left_out


def _fetch_files(checkpoint: Checkpoint, folder: Path, fetch: Callable[[str, Path], None]) -> str:
    """Why a checkpoint can't be used; empty where all its files are here."""
    for name, sha256 in checkpoint.files.items():
        target = folder / name
        if not target.exists():
            try:
                fetch(name, target)
            except ParedownError as error:
                if error.exit_code != InputError.exit_code:
                    raise
                return f"{name} is not there"
        if file_digest(target)[1] != sha256:
            with contextlib.suppress(OSError):
                target.unlink()
            return f"{name} is damaged"
    return ""
