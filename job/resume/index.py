"""``index.json``, which says what a folder of checkpoints holds: its format, reader and writer.

It names the checkpoints, with the files of each, their SHA-256 and a record. It is written last,
under another name first, so what it names is complete; a file that it names never changes. Nothing
is ever unpickled: records are read by pydantic. In the file, a checkpoint is called a piece.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from job.artifact import Record

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
