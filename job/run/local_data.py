"""A data set on this machine: what would silently make another one of it is refused.

In a bucket there are neither links nor empty folders, and keys are UTF-8.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from job.errors import InputError
from job.manifest.datasets import ImageFolderConfig
from job.storage.backend import Found
from job.text import first_names, matches


def refuse_linked_folders(folder: Path, pattern: str) -> None:
    """Refuse links to folders where a pattern is of any depth: they are not followed, and what is
    behind them would be missing.

    Args:
        folder: The data set's.
        pattern: Of the files that are looked for in it.

    Raises:
        InputError: Where one is there, at any depth.
        OSError: Where a folder can't be read.
    """
    if "**" not in pattern.split("/") or not folder.is_dir():
        return

    def refuse(error: OSError) -> None:
        raise error

    for above, folders, _ in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in folders:
            path = Path(above, name)
            if path.is_symlink() and not name.startswith(".."):  # as in mounted ConfigMaps
                raise InputError(
                    "A folder of the data set is a link; links to folders are not followed.",
                    where=str(path),
                    hint="Put the folder there itself, or remove the link.",
                )


def refuse_links_outside(found: Found) -> None:
    """Refuse a link, among several files, to what is outside of their folder.

    Raises:
        InputError: Where one is.
    """
    if _is_one_file(found):
        return  # it is named itself
    for item in found.items:
        path = item.place.local
        depth = len(PurePosixPath(item.name).parts)
        folder = path.parents[depth - 1]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                "A file of the data set is a link to a place outside of its folder.",
                where=str(path),
                hint="Put the file there itself, or name the folder that it is in.",
            )


def refuse_names_that_are_no_text(found: Found) -> None:
    """Refuse names that are not UTF-8: no result could list them.

    Raises:
        InputError: Where a file or a folder has one.
    """
    for item in found.items:
        try:
            item.name.encode()
        except UnicodeEncodeError:
            raise InputError(
                "The name of a file of the data set, or of a folder that it is in, is not UTF-8.",
                where=str(item.place),
                hint="Rename it; convmv converts the names of many files.",
            ) from None


def refuse_empty_classes(
    found: Found, folder: Path, pattern: str, config: ImageFolderConfig
) -> None:
    """Refuse a class's folder that has no file: without it, the classes behind it would have other
    indices.

    Args:
        found: The data set's files.
        folder: That of the data set.
        pattern: Of the files that are looked for in it; a folder that it excludes is no class.
        config: Where the splits are.

    Raises:
        InputError: Where one is there.
        OSError: Where a folder can't be read.
    """
    if _is_one_file(found):
        return
    parts = pattern.split("/")
    # What folders are called that may have files which match.
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    for which, split in config.splits.items():
        prefix = split.prefix
        names = [item.name for item in found.items if item.name.startswith(prefix)]
        if split.labels != "folders" or not names:
            continue
        known = {name[len(prefix) :].partition("/")[0] for name in names}
        with os.scandir(folder / prefix) as entries:
            others = [
                f"{prefix}{entry.name}"
                for entry in entries
                if entry.is_dir() and not entry.name.startswith(".") and entry.name not in known
            ]
        empty = sorted({name for start in above for name in matches(others, start)})
        if empty:
            raise InputError(
                f"The {which} split has folders without files: {first_names(empty)}.",
                where=str(folder / empty[0]),
                hint="Each folder is a class. Add its images, or remove the folder.",
            )


def _is_one_file(found: Found) -> bool:
    return len(found.items) == 1 and found.items[0].place == found.place
