"""What a run keeps while it works, so that one that was killed goes on where it was.

A folder of flat files and ``index.json``, which is written last: piece -> its files with their
SHA-256, and a record. A file does not change once an index has named it. (In the child,
``job/resume/checkpoints.py`` makes them; here they go to the destination and come back.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from job.errors import ParedownError
from job.resume.checkpoints import place

INDEX = "index.json"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")


def measure(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256.

    Raises:
        OSError: Where it can't be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def read(folder: Path) -> tuple[bytes, dict[str, str]]:
    """The index as it is now, and the files in it with their SHA-256.

    Raises:
        OSError: Where there is none.
    """
    content = (folder / INDEX).read_bytes()
    pieces = json.loads(content)["pieces"].values()
    return content, {name: it for piece in pieces for name, it in piece["files"].items()}


def snapshot(folder: Path, target: Path) -> bool:
    """What a folder holds by now, in another one, while the child goes on replacing its files.

    Args:
        folder: The folder.
        target: A folder on the same disk, which holds nothing or an earlier snapshot.

    Returns:
        Whether anything is kept.

    Raises:
        OSError: Where a file is missing, or there is no room.
    """
    while (folder / INDEX).exists():
        index, files = read(folder)
        try:
            for name in files:
                place(folder / name, target / name)
        except FileNotFoundError:
            if (folder / INDEX).read_bytes() == index:
                raise
        else:
            (target / INDEX).write_bytes(index)
            return True
    return False


def restore(index: bytes | None, folder: Path, fetch: Callable[[str, Path], None]) -> list[str]:
    """Fetch what an index names.

    Args:
        index: The index's content; None where there is none.
        folder: An empty folder.
        fetch: Writes the file of a name to a path.

    Returns:
        What had to be left out, in words: pieces with a file that is missing or damaged.

    Raises:
        ParedownError: Where the storage fails.
    """
    if index is None:
        return []
    pieces: dict[str, Any] = {}
    left_out = []
    try:
        named = dict(json.loads(index)["pieces"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ["the index: it can't be read"]
    for name, piece in named.items():
        reason = _fetch_piece(piece, folder, fetch)
        if reason:
            left_out.append(f"{name}: {reason}")
        else:
            pieces[name] = piece
    if pieces:
        (folder / INDEX).write_text(json.dumps({"pieces": pieces}))
    return left_out


def _fetch_piece(piece: Any, folder: Path, fetch: Callable[[str, Path], None]) -> str:
    """Why a piece can't be used; empty where it is here."""
    try:
        files = dict(piece["files"])
    except (ValueError, KeyError, TypeError):
        return "its entry can't be read"
    for name, sha256 in files.items():
        if not isinstance(name, str) or not _NAME.match(name) or name == INDEX:
            return "it names a file that can't be one of its own"
        target = folder / name
        if not target.exists():
            try:
                fetch(name, target)
            except ParedownError as error:
                if error.exit_code != MISSING:
                    raise
                return f"{name} is not there"
        if measure(target)[1] != sha256:
            with contextlib.suppress(OSError):
                target.unlink()
            return f"{name} is damaged"
    return ""


MISSING = 3
