"""Inputs in a bucket: found by HEAD and LIST requests, downloaded to a folder of the run's own.

A key is never a path: files get names of ours, or those below a prefix, each part looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from job.errors import InputError
from job.manifest.storage import StorageConfig
from job.safety import folder as packing
from job.storage.find import measure_together
from job.storage.found import Advance, Downloaded, Fetched, Found, Item
from job.storage.local_source import DATA, MODEL
from job.storage.pattern import fixed_part, is_pattern, matches
from job.storage.place import Place
from job.storage.s3_client import PART_BYTES, THREADS, Store
from job.storage.s3_read import download, look, look_into
from job.storage.stores import Stores

MAX_NAME_BYTES = 255


def find_model(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """A model's object, or all objects below the prefix that is its folder.

    Raises:
        InputError: Where there is none, or access is denied.
        StorageError: Where the store fails.
    """
    store = stores.get(config)
    found = _file(store, place, MODEL)
    if found is not None:
        return found
    folder = _as_folder(place)
    items = [it for it in look_into(store, folder, MODEL) if not it.name.endswith("/") and it.name]
    if not items:
        raise _nothing(place, MODEL)
    return Found(folder, tuple(items), is_folder=True)


def find_data(place: Place, base: Place, stores: Stores, config: StorageConfig) -> Found:
    """The objects of a data set: one; or those of a pattern; or all ``.npz`` directly in a prefix.

    Raises:
        InputError: Where there is none, or access is denied.
        StorageError: Where the store fails.
    """
    store = stores.get(config)
    found = _file(store, place, DATA)
    if found is not None:
        return found
    if is_pattern(place.path):
        prefix = replace(place, path=fixed_part(place.path))
        pattern = place.path.removeprefix(prefix.path)
    else:
        prefix, pattern = _as_folder(place), "*.npz"
    there = {it.name: it for it in look_into(store, prefix, DATA)}
    names = matches(there, pattern)
    if not names:
        raise _nothing(place, DATA)
    return Found(prefix, tuple(there[name] for name in names))


def _file(store: Store, place: Place, doing: str) -> Found | None:
    """The one object of this key; None where there is none, or the key is a prefix."""
    if not place.path or place.path.endswith("/"):
        return None
    item = look(store, place, doing)
    if item is None:
        return None
    return Found(place, (item,), digest=(item.bytes, item.sha256) if item.sha256 else None)


def _as_folder(place: Place) -> Place:
    return replace(place, path=f"{place.path.rstrip('/')}/" if place.path.strip("/") else "")


def _nothing(place: Place, doing: str) -> InputError:
    return InputError(
        f"{doing} failed: there is no object of that key, and none below it that fits.",
        where=str(place),
        hint="Check the URI; in a manifest, a relative one is relative to the manifest.",
    )


def fetch(
    found: Found, folder: Path, stores: Stores, config: StorageConfig, advance: Advance
) -> Fetched:
    """Download what was found, each object compared with what the store says of it.

    All are sent from one pool: so many requests at a time do not outlast a store that is away.

    Args:
        found: What ``find_model`` or ``find_data`` found.
        folder: An empty folder.
        stores: The run's stores.
        config: How this one is reached.
        advance: Is told how many more bytes are here.

    Raises:
        InputError: Where an object has a key that can't be a file's, or was changed.
        StorageError: Where the store fails, or the disk is full.
    """
    store = stores.get(config)
    targets = {item.name: _target(item, folder) for item in found.items}
    _refuse_clashes(found, list(targets.values()))
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()

    def told(more: int) -> None:
        with lock:
            advance(more)

    def get(item: Item) -> Downloaded:
        return download(store, pool, item, targets[item.name], told)

    # A large one comes in several requests at a time, and so alone: what waits is in memory.
    with ThreadPoolExecutor(THREADS) as pool:
        large = {it.name: get(it) for it in found.items if it.bytes > PART_BYTES}
        small = [it for it in found.items if it.bytes <= PART_BYTES]
        come = large | dict(zip((it.name for it in small), pool.map(get, small), strict=True))
    done = [come[item.name] for item in found.items]
    verified = ", ".join(sorted({it.verified for it in done}))
    if found.is_folder:
        digest = packing.measure(folder, str(found.place))
        return Fetched({found.place.name: folder}, digest, verified, found.mark)
    digest = measure_together(
        {item.name: (it.bytes, it.sha256) for item, it in zip(found.items, done, strict=True)}
    )
    return Fetched(targets, digest, verified, found.mark)


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


def _refuse_clashes(found: Found, targets: Sequence[Path]) -> None:
    """An object may have the key of another one's folder."""
    files = set(targets)
    for target in targets:
        if files & set(target.parents):
            raise InputError(
                "Of two objects here one is the folder of the other, which no disk can hold.",
                where=f"{found.place} {target.name}",
                hint="Move or rename one of them.",
            )
