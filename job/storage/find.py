"""An input that is several local files: which they are, and one digest of them all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from job.errors import InputError, from_os_error
from job.storage.pattern import fixed_part, is_pattern, matches


def find_files(path: Path, base: Path, in_folder: str, doing: str) -> dict[str, Path]:
    """The files that a path names: a file, a folder, or all that match a pattern.

    A path that is there is never taken for a pattern. Of links to folders, ``**`` follows none.

    Args:
        path: What is named; wildcards in it are patterns, see ``pattern.py``.
        base: A folder whose own name is no pattern, if the path lies in it.
        in_folder: The pattern for the files in a folder.
        doing: What is being done, as a sentence's start: "Reading the data set".

    Returns:
        Name to path, sorted by name, at least one. Names are relative to the folder, or to the
        part of the pattern that is without wildcards; a file is named by its last part.

    Raises:
        InputError: Where nothing matches, or a folder is missing or can't be read.
    """
    try:
        if path.is_dir():
            folder, pattern = path, in_folder
        elif not path.exists() and is_pattern(text := _relative(path, base)):
            folder, pattern = base / fixed_part(text), text.removeprefix(fixed_part(text))
        else:
            return {path.name: path}
        found = matches(_names(folder, pattern), pattern)
    except OSError as error:
        raise from_os_error(error, doing, writing=False, place=path) from None
    if not found:
        raise InputError(
            f"{doing} failed: no file there matches {pattern}.",
            where=str(folder),
            hint="Check the URI: * is any characters but slashes, ** any folders.",
        )
    return {name: folder / name for name in found}


def _relative(path: Path, base: Path) -> str:
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()


def _names(folder: Path, pattern: str) -> list[str]:
    """The names of the files below a folder, no deeper than the pattern goes."""

    def refuse(error: OSError) -> None:
        raise error  # fewer files would be found than there are

    deep = "**" in pattern.split("/")
    names = []
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=not deep):
        above = Path(place).relative_to(folder)
        names += [(above / name).as_posix() for name in files]
        if not deep and len(above.parts) == pattern.count("/"):
            folders.clear()
    return names


def measure_together(files: Mapping[str, tuple[int, str]]) -> tuple[int, str]:
    """The size of several files in bytes, and one SHA-256 of them in hexadecimal.

    It is that of what ``sha256sum`` prints for them in the order of their names: a line
    ``<sha256>  <name>`` each. Of one file it is the file's own.

    Args:
        files: Name to size and SHA-256, at least one.
    """
    if len(files) == 1:
        return next(iter(files.values()))
    lines = "".join(_line(files[name][1], name) for name in sorted(files))
    digest = hashlib.sha256(os.fsencode(lines)).hexdigest()
    return sum(size for size, _ in files.values()), digest


def _line(digest: str, name: str) -> str:
    """As ``sha256sum`` prints it; a line break in a name must not look like another file."""
    if not set(name) & set("\\\n\r"):
        return f"{digest}  {name}\n"
    for character, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
        name = name.replace(character, escaped)
    return f"\\{digest}  {name}\n"
