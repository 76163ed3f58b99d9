"""Inputs: found by URI, checked before the first byte is downloaded, downloaded and verified.

A key is never a path: each part of it is checked before it becomes a file name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from job.errors import InputError, ParedownError, StorageError, from_os_error
from job.safety import archive as packing
from job.storage import local
from job.storage.backend import Advance, Fetched, Found, Item, Reader
from job.storage.place import Place, fixed_part, is_pattern
from job.text import PathsAsText, matches

# What stays free on the disk of the downloads.
RESERVE_BYTES = 64 << 20
MAX_NAME_BYTES = 255


def find(place: Place, base: Place, pattern: str | None, backend: Reader, doing: str) -> Found:
    """What a URI names: a file; a folder; or all files that match a pattern.

    A path on this machine that exists is never taken for a pattern. Of links to folders, ``**``
    follows none.

    Args:
        place: The place; wildcards in it are patterns, see ``place.py``.
        base: A folder whose own name is no pattern, if the path lies in it.
        pattern: The files that are looked for in a folder. None if the folder itself is what is
            looked for: a model's, all of whose files belong to it; wildcards mean nothing then.
        backend: The place's.
        doing: What is being done, as a sentence's start: "Reading the data set".

    Returns:
        At least one file, sorted by name. Names are relative to the folder, or to the part of the
        pattern that is without wildcards; a single file is named by its last part.

    Raises:
        InputError: Where nothing matches, or access is denied.
        StorageError: Where the storage fails.
    """
    item = backend.stat(place, doing)
    if item is not None:
        known = (item.bytes, item.sha256) if item.sha256 else None
        return Found(place, (item,), digest=known)
    if pattern is None:
        return _find_model_folder(place, backend, doing)
    folder, pattern = folder_and_pattern(place, base, pattern)
    there = {it.name: it for it in backend.listing(folder, doing, pattern=pattern)}
    items = [there[name] for name in matches(there, pattern)]
    if not items:
        raise _nothing(place, folder, pattern, doing)
    if place.scheme != "file":
        return Found(folder, tuple(items))
    sizes = []

    def measured() -> Iterator[tuple[str, int, str]]:
        for item in items:  # they are sorted, and there may be a million
            size, sha256 = local.measure(item.place.local, doing)
            sizes.append(size)
            yield item.name, size, sha256

    digest = _together(measured())
    for index, size in enumerate(sizes):
        if items[index].bytes != size:
            items[index] = replace(items[index], bytes=size)
    return Found(place, tuple(items), digest=digest)


def _find_model_folder(place: Place, backend: Reader, doing: str) -> Found:
    if place.scheme == "file" and place.local.is_dir():
        try:
            size, sha256 = packing.measure(place.local, str(place))
        except OSError as error:
            raise from_os_error(error, doing, writing=False) from None
        item = Item(place.name, place, size)
        return Found(place, (item,), is_folder=True, digest=(size, sha256))
    folder = place.prefix
    items = [it for it in backend.listing(folder, doing) if it.name and it.name[-1] != "/"]
    if not items:
        raise _nothing(place, place, "*", doing)
    return Found(folder, tuple(sorted(items, key=lambda item: item.name)), is_folder=True)


def folder_and_pattern(place: Place, base: Place, pattern: str) -> tuple[Place, str]:
    """The folder that ``find`` lists where there is no such file, and the pattern of names."""
    above, text = Path(), place.path
    is_local = place.scheme == "file"
    if is_local:
        if place.local.is_dir():
            return place, pattern
        if base.scheme == "file" and place.local.is_relative_to(base.local):
            above, text = base.local, place.local.relative_to(base.local).as_posix()
    if not is_pattern(text):
        return place if is_local else place.prefix, pattern
    fixed = fixed_part(text)
    folder = replace(place, path=str(above / fixed) if is_local else fixed)
    return folder, text.removeprefix(fixed)


def _nothing(place: Place, folder: Place, pattern: str, doing: str) -> ParedownError:
    if place.scheme != "file":
        return InputError(
            f"{doing} failed: there is no object of that key, and none below it that fits.",
            where=str(place),
            hint="Check the URI; in a manifest, a relative one is relative to the manifest.",
        )
    if not folder.local.exists():
        missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        return from_os_error(missing, doing, writing=False)
    return InputError(
        f"{doing} failed: no file there matches {pattern}.",
        where=str(folder),
        hint="Check the URI: * is any characters but slashes, ** any folders.",
    )


def measure_together(files: Mapping[str, tuple[int, str]]) -> tuple[int, str]:
    """The size of several files in bytes, and one SHA-256 of them in hexadecimal.

    It is that of what ``sha256sum`` prints for them in the order of their names: a line
    ``<sha256>  <name>`` each. Of one file it is the file's own.

    Args:
        files: Name to size and SHA-256, at least one.
    """
    return _together((name, *files[name]) for name in sorted(files))


def _together(files: Iterable[tuple[str, int, str]]) -> tuple[int, str]:
    """The same of names, sizes and digests, which are sorted by name."""
    lines, total, count, own = hashlib.sha256(), 0, 0, ""
    for name, size, sha256 in files:
        lines.update(os.fsencode(_line(sha256, name)))
        total, count, own = total + size, count + 1, sha256
    return total, own if count == 1 else lines.hexdigest()


def _line(digest: str, name: str) -> str:
    """As ``sha256sum`` prints it; a line break in a name must not look like another file."""
    if not set(name) & set("\\\n\r"):
        return f"{digest}  {name}\n"
    for character, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
        name = name.replace(character, escaped)
    return f"\\{digest}  {name}\n"


def refuse_large(found: Found, max_bytes: int) -> None:
    """Refuse files and objects that are larger than ``storage.max_object_bytes``.

    Raises:
        InputError: Where one is.
    """
    for item in found.items:
        if item.bytes > max_bytes:
            raise InputError(
                f"The download has {item.bytes:,} bytes, more than storage.max_object_bytes "
                f"({max_bytes:,}).",
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


def fetch(found: Found, folder: Path, backend: Reader, advance: Advance) -> Fetched:
    """Download what was found, and verify it; what is on this machine is read where it is.

    Args:
        found: What ``find`` found.
        folder: An empty folder.
        backend: The place's.
        advance: Called with the bytes that have arrived.

    Raises:
        InputError: Where an object has a key that can't be a file name, or was changed.
        StorageError: Where the storage fails, or the disk is full.
    """
    if found.place.scheme == "file":
        assert found.digest is not None  # it was measured when it was found
        advance(found.bytes)
        here = PathsAsText({it.name: it.place.path for it in found.items})
        return Fetched(here, found.digest, "")
    targets = {item: _target(item, folder) for item in found.items}
    _refuse_clashes(found, set(targets.values()))
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    done = backend.download(targets, advance)
    verified = ", ".join(sorted({it.verified for it in done}))
    if found.is_folder:
        digest = packing.measure(folder, str(found.place))
        return Fetched({found.place.name: folder}, digest, verified, found.mark)
    named = zip(found.items, done, strict=True)
    digest = measure_together({item.name: (it.bytes, it.sha256) for item, it in named})
    paths = {item.name: target for item, target in targets.items()}
    return Fetched(paths, digest, verified, found.mark)


def _target(item: Item, folder: Path) -> Path:
    """Where an object goes: below the folder, whatever its key is."""
    parts = item.name.split("/")
    if any(
        part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_NAME_BYTES
        for part in parts
    ):
        raise InputError(
            "A file can't have the name that this object's key has.",
            where=str(item.place),
            hint="Keys without empty parts, . and .. can be downloaded; move or rename the object.",
        )
    return folder / PurePosixPath(*parts)


def _refuse_clashes(found: Found, targets: set[Path]) -> None:
    """An object may have the key of another one's folder."""
    for target in sorted(targets):
        if targets & set(target.parents):
            raise InputError(
                "Of two objects here one is the folder of the other, which no disk can hold.",
                where=f"{found.place} {target.name}",
                hint="Move or rename one of them.",
            )
