"""Results in a bucket.

Two runs of the same manifest may end here at once, so the last object is put on a condition, and
who comes second looks at the result that stands. The objects before it are the same for both.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from job.artifact import file_digest
from job.errors import InputError, ManifestError, ParedownError, StorageError
from job.resume import transfer
from job.resume.index import INDEX_FILE
from job.storage import s3_read, s3_write
from job.storage.destination import RESUME, RUN_ID_KEY, Publication
from job.storage.place import Place
from job.storage.s3_client import THREADS, Store
from job.storage.s3_errors import in_words

# A result has some hundred bytes for each layer of the model.
MAX_RESULT_BYTES = 1 << 28
# How often a result is put again that does not stand beside its own files.
ROUNDS = 4
BEGUN = "run.json"


@dataclass(frozen=True)
class S3Destination:
    """A prefix in a bucket; see ``destination.py`` for what the methods do."""

    place: Place
    store: Store

    def claimed(self, wait: Callable[[], None]) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002 - nobody is waited for here
        """A bucket has no locks; two runs are told apart when they publish."""
        return contextlib.nullcontext()

    def read(self, name: str) -> bytes | None:
        """The content of an object."""
        doing = "Reading the destination"
        return s3_read.read(self.store, self.place.child(name), MAX_RESULT_BYTES, doing)

    def missing(self, files: Mapping[str, tuple[int, str]]) -> list[str]:
        """One HEAD request for each."""

        def is_there(name: str) -> bool:
            return s3_write.has(self.store, self.place.child(name), *files[name])

        with ThreadPoolExecutor(THREADS) as pool:
            found = dict(zip(files, pool.map(is_there, files), strict=True))
        return [name for name in files if not found[name]]

    def prepare(self, run_id: str, protected: Collection[str]) -> None:
        """Whether writing is allowed is found out by writing that the run has begun."""
        foreign = self._foreign(protected) if protected else []
        if foreign:
            raise ManifestError(
                f"The destination holds files that would be overwritten: {', '.join(foreign)}.",
                where=str(self.place),
                hint="Choose a prefix of its own for the results, or move those objects away.",
            )
        begun = json.dumps({"run_id": run_id}).encode()
        s3_write.put(self.store, self._kept(run_id).child(BEGUN), begun, {RUN_ID_KEY: run_id})

    def _foreign(self, names: Collection[str]) -> list[str]:
        """Those of the names that objects have which no run has written."""
        doing = "Preparing the destination"
        there = {it.name for it in s3_read.look_into(self.store, self._prefix(), doing)}
        return [name for name in names if name in there and not self._is_ours(name)]

    def _is_ours(self, name: str) -> bool:
        """Whether a run has written the object."""
        place = self.place.child(name)
        with in_words("Looking at the destination", place):
            head = s3_read.look_at(self.store, place)
        return head is not None and RUN_ID_KEY in head.get("Metadata", {})

    def publish(self, it: Publication, advance: Callable[[int], None]) -> bytes:
        """Objects that are there already, whole, are not written again."""
        place, content = self.place.child(it.last), (it.folder / it.last).read_bytes()
        standing = self.read(it.last)
        if standing is not None:
            if it.stands(standing):
                return standing
            for name in [it.last, *it.replaced]:
                s3_write.remove(self.store, self.place.child(name))
        replaces = None
        for _ in range(ROUNDS):
            self._upload(it, advance)
            etag = s3_write.put_if(self.store, place, content, it.metadata, replaces)
            if etag is None:
                theirs = s3_read.look(self.store, place, "Publishing the result")
                standing = self.read(it.last)
                if standing is None or theirs is None:  # it was there, and is not any more
                    replaces = None
                    continue
                if standing != content and it.stands(standing):
                    return standing
                etag = theirs.etag
                if standing != content:  # it names files that are not there: ours replaces it
                    replaces = etag
                    continue
            if not self.missing(_digests(it)):
                return content
            replaces = etag
        raise StorageError(
            "Another run writes to this destination all the time.",
            where=str(self.place),
            hint="Give each job a destination of its own.",
        )

    def _upload(self, it: Publication, advance: Callable[[int], None]) -> None:
        digests = _digests(it)
        missing = set(self.missing(digests))
        for name in it.files[:-1]:
            if name in missing:
                path, sha256 = it.folder / name, digests[name][1]
                upload = s3_write.Upload(path, sha256, self.place.child(name), it.metadata)
                s3_write.upload(self.store, upload, advance)
            else:
                advance(digests[name][0])

    def restore(self, run_id: str, folder: Path) -> list[str]:
        """Every object is compared with the digest that the index has of it."""
        there = self._kept(run_id)
        doing = "Reading what an earlier run has kept"
        index = s3_read.read(self.store, there.child(INDEX_FILE), MAX_RESULT_BYTES, doing)

        def fetch(name: str, target: Path) -> None:
            item = s3_read.look(self.store, there.child(name), doing)
            if item is None:
                raise InputError("It is not there.", where=name)
            s3_read.download(self.store, pool, item, target, lambda _: None)

        with ThreadPoolExecutor(THREADS) as pool:
            return transfer.restore(index, folder, fetch)

    def keep(self, run_id: str, folder: Path) -> None:
        """New files first, then the index that names them, then what it names no more goes."""
        there = self._kept(run_id)
        prefix = Place("s3", f"{there.path}/", there.host)
        found = s3_read.look_into(self.store, prefix, "Keeping what is done")
        index, files = transfer.read(folder)

        metadata = {RUN_ID_KEY: run_id}
        for name in sorted(files.keys() - {item.name for item in found}):
            it = s3_write.Upload(folder / name, files[name], there.child(name), metadata)
            s3_write.upload(self.store, it, lambda _: None)
        s3_write.put(self.store, there.child(INDEX_FILE), index, metadata)
        for item in found:
            if item.name not in {*files, INDEX_FILE, BEGUN}:
                s3_write.remove(self.store, item.place)

    def forget(self) -> None:
        """Uploads first: what is kept shows that there may be some."""
        resume = Place("s3", f"{self.place.child(RESUME).path}/", self.place.host)
        prefix = self._prefix()

        def is_ours(key: str) -> bool:
            name = key.removeprefix(prefix.path)
            return key.startswith(resume.path) or ("/" not in name and self._is_ours(name))

        try:
            with in_words("Looking for what was kept", resume):
                left_over = next(s3_read.listing(self.store, resume), None)
            if left_over is not None:
                s3_write.give_up_uploads(self.store, prefix, is_ours)
                s3_write.remove_all(self.store, resume)
        except ParedownError as error:  # the results are there, and that is what was asked for
            self.store.warn(
                f"What was kept for resuming could not be removed from {resume}: {error.what} "
                "It needs s3:ListBucket, s3:DeleteObject, s3:ListBucketMultipartUploads and "
                "s3:AbortMultipartUpload there."
            )

    def _kept(self, run_id: str) -> Place:
        return self.place.child(f"{RESUME}/{run_id}")

    def _prefix(self) -> Place:
        """What all keys begin with."""
        path = f"{self.place.path.rstrip('/')}/" if self.place.path.strip("/") else ""
        return Place("s3", path, self.place.host)


def _digests(it: Publication) -> dict[str, tuple[int, str]]:
    """Of all files but the last."""
    return {name: file_digest(it.folder / name) for name in it.files[:-1]}
