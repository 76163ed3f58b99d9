"""A batch's jobs, listed and discovered, and the sizes of their models.

Sizes and ETags come from one listing per bucket, so that ten thousand models take a few dozen
requests.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from job.errors import InputError, ManifestError, ParedownError
from job.manifest.batch import RESERVED, discovered, expand
from job.result.artifact import FORMATS
from job.storage.backend import Item
from job.storage.destination import Notes
from job.storage.place import Place, find_place, fixed_part
from job.text import matches, one_line

if TYPE_CHECKING:
    from job.manifest.batch import BatchConfig, DiscoverConfig
    from job.manifest.job import JobConfig
    from job.manifest.storage import StorageConfig
    from job.storage.backend import Stores

SUFFIXES = tuple(suffix for it in FORMATS.values() for suffix in it.discovered)
LONGEST_NAME = 100
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Planned:
    """A job, and its model as listed; None if no listing has it."""

    job: JobConfig
    model: Item | None
    weight: int | None = None
    """The model's size in the plan that all pods follow, if there is one."""

    @property
    def bytes(self) -> int:
        """The model's size, by which jobs are divided; 0 if it is not known."""
        if self.weight is not None:
            return self.weight
        return self.model.bytes if self.model else 0


def plan(
    batch: BatchConfig, base: Place, stores: Stores, warn: Callable[[str], None]
) -> list[Planned]:
    """All jobs of a batch: those in the manifest, in their order, then those of discovered models,
    sorted by their names.

    Raises:
        ManifestError: If a job is wrong, or two have the same name.
        InputError: If models can't be listed, or none is found.
        StorageError: If the storage fails.
    """
    jobs = expand(batch)
    known = _known((_where(job, base) for job in jobs), stores, warn)
    planned = [Planned(job, known.get(_where(job, base)[0])) for job in jobs]
    if batch.discover is None:
        return planned
    there = {_real(_where(job, base)[0]) for job in jobs}
    found = [
        it
        for it in discover(batch, batch.discover, base, stores, warn)
        if _real(it.place) not in there
    ]
    names = _names(
        [it.name for it in found], {*RESERVED, *(job.name.casefold() for job in jobs)}, warn
    )
    planned += [
        Planned(discovered(batch, name, str(it.place)), it)
        for name, it in zip(names, found, strict=True)
    ]
    if not planned:
        raise InputError(
            f"No model there matches {batch.discover.pattern}.",
            where=str(find_place(batch.discover.uri, base)),
            hint="Check discover: * is any characters but slashes, ** any folders.",
        )
    return planned


def discover(
    batch: BatchConfig,
    asked: DiscoverConfig,
    base: Place,
    stores: Stores,
    warn: Callable[[str], None],
) -> list[Item]:
    """The model files that match, sorted by their names, except the batch's own results."""
    place = find_place(asked.uri, base)
    results = f"{str(_real(find_place(batch.destination.uri, base))).rstrip('/')}/"
    notes = Notes(place, stores, asked.storage or batch.storage)
    listed = {
        it.name: it
        for it in notes.files(fixed_part(asked.pattern))
        if it.name.lower().endswith(SUFFIXES) and not str(_real(it.place)).startswith(results)
    }
    for name in [it for it in listed if it != it.encode(errors="replace").decode()]:
        warn(f"A model is left out, whose name is no text: {name!a}")
        del listed[name]
    return [listed[name] for name in matches(listed, asked.pattern)]


def _names(paths: list[str], taken: set[str], warn: Callable[[str], None]) -> list[str]:
    """A name for each discovered model: its path without its suffix, if that is unique; else its
    path; if that is not unique either, since characters of it are not allowed in names, with a
    digest of the path.
    """
    stems = [_without_suffix(path) for path in paths]
    names = [_as_name(stem, stem) for stem in stems]
    longer = [
        _as_name(path if _bare(stem) else "", path) for stem, path in zip(stems, paths, strict=True)
    ]
    unique = [_with_digest(name, path) for name, path in zip(longer, paths, strict=True)]
    for others in (longer, unique):
        count = Counter(name.casefold() for name in names)
        names = [
            other if count[name.casefold()] > 1 or name.casefold() in taken else name
            for name, other in zip(names, others, strict=True)
        ]
    seen = Counter(taken)
    for stem, path, name in zip(stems, paths, names, strict=True):
        seen[name.casefold()] += 1
        if seen[name.casefold()] > 1:
            raise ManifestError(
                f"Two jobs of the batch have the name {name}.",
                where=path,
                hint="List this model in jobs, with a name of its own.",
            )
        short = _as_name(stem, stem)
        if name != short:
            warn(f"{short} is the name of something else, too: that of {one_line(path)} is {name}.")
    return names


def _without_suffix(path: str) -> str:
    suffix = max((it for it in SUFFIXES if path.lower().endswith(it)), key=len)
    return path[: -len(suffix)]


def _bare(path: str) -> str:
    """What of a path is allowed in a name."""
    return _NO_NAME.sub("-", path.replace("/", "-")).strip("-._")


def _as_name(path: str, digested: str) -> str:
    """A name of what is allowed of the path; where that is nothing or too long, with a digest."""
    name = _bare(path)
    return name if 0 < len(name) <= LONGEST_NAME else _with_digest(name, digested)


def _with_digest(name: str, path: str) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9] or 'model'}-{digest}"


def _real(place: Place) -> Place:
    """The same place however it was named: of this machine, without links and ``..``."""
    return place if place.scheme != "file" else replace(place, path=os.path.realpath(place.path))


def _where(job: JobConfig, base: Place) -> tuple[Place, StorageConfig]:
    return find_place(job.model.uri, base), job.model.storage or job.storage


def _known(
    asked: Iterable[tuple[Place, StorageConfig]], stores: Stores, warn: Callable[[str], None]
) -> dict[Place, Item]:
    """These places as listed; a model's folder has the size of its content."""
    buckets: dict[tuple[str, str, StorageConfig], set[Place]] = defaultdict(set)
    for place, storage in asked:
        if place.scheme != "https":  # a web server lists nothing
            buckets[place.scheme, place.host, storage].add(place)
    known: dict[Place, Item] = {}
    for (scheme, _, storage), places in buckets.items():
        if scheme == "file":
            known |= _on_disk(places)
            continue
        one = next(iter(places))
        folder = replace(one, path=_folder_of([it.path for it in places]))
        try:
            known |= _in_bucket(places, folder, stores, storage)
        except ParedownError as error:
            if not isinstance(error, InputError):
                raise
            warn(f"Models can't be listed, so jobs are shared out as if all were alike: {error}")
    return known


def _folder_of(keys: Sequence[str]) -> str:
    """The longest prefix of keys that ends with a slash; keys are no paths, and may begin with one
    or have two.
    """
    common = posixpath.commonprefix(keys)
    return common[: common.rfind("/") + 1]


def _on_disk(places: set[Place]) -> dict[Place, Item]:
    sizes = {}
    for place in places:
        path = place.local
        try:
            files = [path] if path.is_file() else path.rglob("*")
            sizes[place] = sum(it.stat().st_size for it in files if it.is_file())
        except OSError:  # its job will report it
            sizes[place] = 0
    return {place: Item(place.name, place, size) for place, size in sizes.items()}


def _in_bucket(
    places: set[Place], folder: Place, stores: Stores, storage: StorageConfig
) -> dict[Place, Item]:
    folders = {f"{it.path.rstrip('/')}/": it for it in places}
    known: dict[Place, Item] = {}
    inside: Counter[Place] = Counter()
    for it in Notes(folder, stores, storage).files():
        if it.place in places:
            known[it.place] = it
            continue
        for end in (at for at, character in enumerate(it.place.path, 1) if character == "/"):
            model = folders.get(it.place.path[:end])
            if model is not None:
                inside[model] += it.bytes
    return {place: Item(place.name, place, size) for place, size in inside.items()} | known
