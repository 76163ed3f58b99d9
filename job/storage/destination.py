"""Where results go, and small files beside the results of runs (``Notes``).

A destination holds one run; its ``result.json`` is written last. While a run works, its checkpoints
are in ``.resume/<run_id>/`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from job.errors import (
    InputError,
    InterruptedRunError,
    ManifestError,
    ParedownError,
    StorageError,
)
from job.manifest.storage import StorageConfig
from job.result.artifact import media_type
from job.resume.index import INDEX_FILE, read_content, restore
from job.storage import local
from job.storage.backend import MAX_RESULT_BYTES, RUN_ID_KEY, Advance, Backend, Item, Stores, Upload
from job.storage.place import Place
from job.storage.retry import PUBLISH_ROUNDS, THREADS

RESUME = ".resume"
BEGUN = "run.json"
DOING = "Looking at the results"


@dataclass(frozen=True)
class Publication:
    """What is published: the files of a folder."""

    folder: Path
    files: Mapping[str, str]
    """Name -> media type, in the order in which they are written. The last one's presence means
    that all the others are there."""
    replaced: list[str]
    """Files of an earlier result that is replaced."""
    metadata: Mapping[str, str]
    """What is written with each, where the storage can."""
    stands: Callable[[bytes], bool]
    """Whether a result that somebody else has published meanwhile is as good as this one."""
    failed: Sequence[str] = ()
    """Files that an earlier run which failed has left; they are removed in any case."""

    @property
    def last(self) -> str:
        """The file that is written last."""
        return list(self.files)[-1]


@dataclass(frozen=True)
class Destination:
    """A folder or a prefix that results go to. All methods raise InputError where access is denied
    and StorageError where the storage fails.
    """

    place: Place
    backend: Backend
    warn: Callable[[str], None]
    kept: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The checkpoint files that are surely there, with their SHA-256."""

    def claimed(self, wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Keep it from other runs, where the storage can; ``wait`` is called before waiting."""
        return self.backend.claim(self.place, wait)

    def read(self, name: str) -> bytes | None:
        """A small file's content; None where it is not there."""
        doing = "Reading the destination"
        return self.backend.read(self.place.child(name), MAX_RESULT_BYTES, doing)

    def missing(self, files: Mapping[str, tuple[int, str]]) -> list[str]:
        """Which files (name to bytes and SHA-256) are not there, or are others."""

        def is_there(name: str) -> bool:
            return self.backend.has(self.place.child(name), *files[name])

        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(is_there, files))
        return [name for name, is_found in zip(files, found, strict=True) if not is_found]

    def prepare(self, run_id: str, protected: Collection[str]) -> None:
        """Make sure, before any work, that results can be written and replace no file that paredown
        did not create.

        Args:
            run_id: The run that is going to write.
            protected: Names that must not be there, unless a killed run has left them.

        Raises:
            ManifestError: Where they are there.
        """
        foreign = self.backend.foreign(self.place, protected)
        if foreign:
            kind = "folder" if self.place.scheme == "file" else "prefix"
            raise ManifestError(
                f"The destination holds files that would be overwritten: {', '.join(foreign)}.",
                where=str(self.place),
                hint=f"Choose a {kind} of its own for the results, or move those files away.",
            )
        self.backend.prepare(self.place, self._resume(run_id).child(BEGUN), run_id)

    def publish(self, publication: Publication, advance: Advance) -> bytes:
        """Put all files there; what is there already, whole, is not written again. An earlier
        result is deleted first, so that it never stands beside files that are not its own.

        Returns:
            The content of the last file that is there now: another run's, where that was first.
        """
        last = publication.last
        standing = self.read(last)
        if standing is not None and publication.stands(standing):
            return standing
        old = [] if standing is None else [last, *publication.replaced]
        old += publication.failed
        uploads = self._uploads(publication)
        with self.backend.publishing(self.place, [*publication.files, *old]):
            for name in old:
                self.backend.delete(self.place.child(name))
            if self.backend.is_locked:
                for upload in uploads.values():
                    self.backend.upload(upload, advance)
                return (publication.folder / last).read_bytes()
            del uploads[last]
            return self._publish_beside_others(publication, uploads, advance)

    def _uploads(self, publication: Publication) -> dict[str, Upload]:
        made = {}
        for name, kind in publication.files.items():
            path, place = publication.folder / name, self.place.child(name)
            size, sha256 = local.measure(path, "Publishing")
            made[name] = Upload(path, size, sha256, place, publication.metadata, kind)
        return made

    def _publish_beside_others(
        self, publication: Publication, uploads: Mapping[str, Upload], advance: Advance
    ) -> bytes:
        """Other runs may publish at the same time: the last file is written only if no other result
        is there, and its files are checked once more when it is.
        """
        last, place = publication.last, self.place.child(publication.last)
        content = (publication.folder / last).read_bytes()
        digests = {name: (it.bytes, it.sha256) for name, it in uploads.items()}
        replaces = None
        for _ in range(PUBLISH_ROUNDS):
            missing = set(self.missing(digests))
            for name, upload in uploads.items():
                if name in missing:
                    self.backend.upload(upload, advance)
                else:
                    advance(upload.bytes)
            etag = self.backend.create(
                place, content, publication.metadata, publication.files[last], replaces
            )
            if etag is None:
                theirs = self.backend.stat(place, "Publishing the result")
                standing = self.read(last)
                if standing is None or theirs is None:  # it was there, and is not any more
                    replaces = None
                    continue
                if standing != content and publication.stands(standing):
                    return standing
                etag = theirs.etag
                if standing != content:  # it names files that are not there: ours replaces it
                    replaces = etag
                    continue
            if not self.missing(digests):
                return content
            replaces = etag
        raise StorageError(
            "Another run writes to this destination all the time.",
            where=str(self.place),
            hint="Give each job a destination of its own.",
        )

    def restore(self, run_id: str, folder: Path) -> list[str]:
        """Download a killed run's checkpoints into a folder; what is damaged is left out.

        Returns:
            What had to be left out, as messages.
        """
        there = self._resume(run_id)
        doing = "Reading what an earlier run has kept"
        index = self.backend.read(there.child(INDEX_FILE), MAX_RESULT_BYTES, doing)
        items: dict[str, Item] = {}

        def fetch(name: str, target: Path) -> None:
            if not items:
                items.update((item.name, item) for item in self.backend.listing(there, doing))
            if name not in items:
                raise InputError("It is not there.", where=name)
            self.backend.download({items[name]: target}, lambda _: None)

        left_out = restore(index, folder, fetch)
        if (folder / INDEX_FILE).exists():
            self.kept.update(read_content(folder)[1])
        return left_out

    def keep(self, run_id: str, folder: Path) -> None:
        """Put there what a folder holds by now: new files first, then the index that names them;
        then what it does not name any more is deleted. See ``resume/index.py``. A file of a name
        that is there is new, too, unless this run has read it there whole, or put it there: it may
        be damaged, or that of other settings.
        """
        there = self._resume(run_id)
        found = {item.name for item in self.backend.listing(there, "Keeping what is done")}
        index, files = read_content(folder)
        metadata = {RUN_ID_KEY: run_id}
        same = {it for it in found if it in files and self.kept.get(it) == files[it]}
        for name in sorted(files.keys() - same):
            size = (folder / name).stat().st_size
            upload = Upload(folder / name, size, files[name], there.child(name), metadata)
            self.backend.upload(upload, lambda _: None)
        self.backend.write(there.child(INDEX_FILE), index, metadata)
        self.kept.update(files)
        for name in found - files.keys() - {INDEX_FILE, BEGUN}:
            self.backend.delete(there.child(name))

    def forget(self) -> None:
        """Delete all checkpoints, and uploads of killed runs."""
        resume = self.place.child(RESUME)
        try:
            self.backend.clear(self.place, resume)
        except InterruptedRunError:
            raise
        except ParedownError as error:  # the results are there, and that is what was asked for
            self.warn(
                f"What was kept for resuming could not be removed from {resume}/: {error.what} "
                "It needs s3:ListBucket, s3:DeleteObject, s3:ListBucketMultipartUploads and "
                "s3:AbortMultipartUpload there."
            )

    def _resume(self, run_id: str) -> Place:
        return self.place.child(f"{RESUME}/{run_id}")


class Notes:
    """A folder or prefix. All methods raise InputError where access is denied, and StorageError
    where the storage fails; the constructor raises ManifestError where nothing can be written to
    such a place.
    """

    def __init__(self, place: Place, stores: Stores, config: StorageConfig) -> None:
        self.place = place
        self._backend = stores.backend(place, config)

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is not there."""
        return self._backend.read(self.place.child(name), MAX_RESULT_BYTES, DOING)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whatever is there."""
        self._backend.write(self.place.child(name), content, {}, media_type(name))

    def create(self, name: str, content: bytes) -> None:
        """Write a file, unless one is there."""
        self._backend.create(self.place.child(name), content, {})

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is deleted already."""
        self._backend.delete(self.place.child(name))

    def files(self, below: str = "", first: str = "", last: str = "") -> Iterator[Item]:
        """All files in the folder ``below``, which is empty or ends with a slash; for ``first`` and
        ``last`` see ``Reader.listing``.
        """
        folder = self.place.child(below.rstrip("/")) if below else self.place
        for item in self._backend.listing(folder, DOING, first=first, last=last):
            yield replace(item, name=f"{below}{item.name}")
