"""Checkpoints on their way to storage and back.

The child process writes a folder of flat files with ``index.json`` (see ``checkpoints.py``); the
parent copies a snapshot of it to the destination, and restores it from there in a later run.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from job.artifact import file_digest
from job.errors import InputError, ParedownError
from job.resume.index import INDEX_FILE, Checkpoint, Index, parse_index, write_index


def link_or_copy(file: Path, target: Path) -> Path:
    """Give a file another name; it is copied where the disk has no hard links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
    return target


def read(folder: Path) -> tuple[bytes, dict[str, str]]:
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
        index, files = read(folder)
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
