"""Buckets as a backend; see ``backend.py``.

Two runs of the same manifest may end at the same time, and a bucket has no locks: so the last
object is written on a condition. The objects before it are the same for both.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import botocore.exceptions as boto

from job.errors import InputError
from job.storage.backend import OCTETS, RUN_ID_KEY, Advance, Downloaded, Item, Upload
from job.storage.checksums import sha256_of
from job.storage.place import Place
from job.storage.retry import SMALL_READ, THREADS, persist
from job.storage.s3_client import PART_BYTES, Store, address
from job.storage.s3_errors import PRECONDITION_FAILED, code_of, translated
from job.storage.s3_transfer import SEND_AGAIN, SHA256_KEY, download, send

DELETING = "Removing what is not needed any more"
# botocore does not send a request again whose answer breaks off.
BROKEN_OFF = (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError)


class S3:
    """The buckets that a client reaches."""

    is_locked = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client

    def stat(self, place: Place, doing: str) -> Item | None:
        """One HEAD request; the name of a prefix, which ends with a slash, is no object's."""
        if not place.path or place.path.endswith("/"):
            return None
        with translated(doing, place):
            head = self._store.head(place)
            if head is None:
                self._client.head_bucket(Bucket=place.host)
                return None
        return Item(
            place.name, place, int(head["ContentLength"]), head.get("ETag"), sha256_of(head)
        )

    def listing(
        self, folder: Place, doing: str, *, pattern: str = "**", first: str = "", last: str = ""
    ) -> Iterator[Item]:
        """One LIST request for a thousand objects, sorted by their keys."""
        prefix = folder.prefix
        options = {"StartAfter": f"{prefix.path}{first}"} if first else {}
        end = f"{prefix.path}{last}"
        with translated(doing, folder):
            for it in self._pages("list_objects_v2", prefix, "Contents", **options):
                if last and it["Key"] > end and not it["Key"].startswith(end):
                    return
                place = replace(prefix, path=it["Key"])
                yield Item(it["Key"][len(prefix.path) :], place, it["Size"], it.get("ETag"))

    def _pages(
        self, operation: str, prefix: Place, field: str, **options: str
    ) -> Iterator[dict[str, Any]]:
        """What a store lists of a prefix."""
        pages = self._client.get_paginator(operation)
        for page in pages.paginate(Bucket=prefix.host, Prefix=prefix.path, **options):
            yield from page.get(field, [])

    def read(self, place: Place, limit: int, doing: str) -> bytes | None:
        """One GET request."""

        def get() -> bytes:
            answer = self._client.get_object(**address(place))
            if answer["ContentLength"] > limit:
                raise InputError(
                    f"{doing} failed: it has {answer['ContentLength']:,} bytes, more than the "
                    f"{limit:,} that it may have.",
                    where=str(place),
                    hint="Check that the URI names the right object.",
                )
            return bytes(answer["Body"].read())

        with translated(doing, place):
            try:
                return persist(get, BROKEN_OFF, SMALL_READ, partial(self._store.count, "GetObject"))
            except boto.ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    def download(self, targets: Mapping[Item, Path], advance: Advance) -> list[Downloaded]:
        """All requests are sent from one pool: so many at a time do not outlast a store that is
        away. A large object comes in several at a time, and so alone: what waits is in memory.
        """

        def get(item: Item) -> Downloaded:
            return download(self._store, pool, item, targets[item], advance)

        with ThreadPoolExecutor(THREADS) as pool:
            done = {item: get(item) for item in targets if item.bytes > PART_BYTES}
            small = [item for item in targets if item.bytes <= PART_BYTES]
            done |= dict(zip(small, pool.map(get, small), strict=True))
        return [done[item] for item in targets]

    def claim(
        self, folder: Place, wait: Callable[[], None]
    ) -> contextlib.AbstractContextManager[None]:
        """A bucket has no locks; two runs are told apart when they publish."""
        return contextlib.nullcontext()

    def has(self, place: Place, size: int, sha256: str) -> bool:
        """By the store's checksum or, of an object that went up in parts, by its metadata."""
        with translated("Checking the results", place):
            head = self._store.head(place)
        if head is None or int(head["ContentLength"]) != size:
            return False
        return (sha256_of(head) or head.get("Metadata", {}).get(SHA256_KEY)) == sha256

    def write(
        self, place: Place, content: bytes, metadata: Mapping[str, str], media_type: str = OCTETS
    ) -> None:
        """One PUT request."""
        options = {"ContentType": media_type, "Metadata": dict(metadata), **address(place)}
        with translated("Writing to the destination", place):
            self._client.put_object(Body=content, **options)

    def create(
        self,
        place: Place,
        content: bytes,
        metadata: Mapping[str, str],
        media_type: str = OCTETS,
        replaces: str | None = None,
    ) -> str | None:
        """One PUT request, with a condition where the store knows any."""
        digest = hashlib.sha256(content)
        options: dict[str, Any] = {
            "ContentType": media_type,
            "Metadata": {**metadata, SHA256_KEY: digest.hexdigest()},
            **address(place),
            **self._store.checksum(digest.digest()),
        }
        condition = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        with translated("Publishing the result", place):
            try:
                answer = self._client.put_object(Body=content, **options, **condition)
            except boto.ClientError as error:
                if code_of(error) in (*PRECONDITION_FAILED, "404", "NoSuchKey"):
                    return None
                if code_of(error) != "NotImplemented":
                    raise
                self._store.warn(
                    "This store knows no conditional writes: a run that ends at the same time as "
                    "another of the same manifest may replace its result."
                )
                answer = self._client.put_object(Body=content, **options)
        return str(answer["ETag"])

    def upload(self, upload: Upload, advance: Advance) -> None:
        """One PUT request, or parts in parallel; and one HEAD request."""
        send(self._store, upload, advance)

    def delete(self, place: Place) -> None:
        """One DELETE request."""
        with translated(DELETING, place):
            self._client.delete_object(**address(place))

    def foreign(self, folder: Place, names: Collection[str]) -> list[str]:
        """One listing, and a HEAD request for each object that is there."""
        if not names:
            return []
        there = {item.name for item in self.listing(folder, "Preparing the destination")}
        return [name for name in names if name in there and not self._is_ours(folder.child(name))]

    def _is_ours(self, place: Place) -> bool:
        """Whether a run has written the object."""
        with translated("Looking at the destination", place):
            head = self._store.head(place)
        return head is not None and RUN_ID_KEY in head.get("Metadata", {})

    def prepare(self, folder: Place, begun: Place, run_id: str) -> None:
        """By writing that the run has begun."""
        self.write(begun, json.dumps({"run_id": run_id}).encode(), {RUN_ID_KEY: run_id})

    def publishing(
        self, folder: Place, names: Collection[str]
    ) -> contextlib.AbstractContextManager[None]:
        """The objects' metadata say which run wrote them."""
        return contextlib.nullcontext()

    def clear(self, folder: Place, below: Place) -> None:
        """Uploads first: the objects show that there may be some."""
        items = list(self.listing(below, "Looking for what was kept"))
        if not items:
            return
        top = folder.prefix.path
        with translated("Giving up uploads that were broken off", folder):
            for it in self._pages("list_multipart_uploads", folder.prefix, "Uploads"):
                place, name = replace(folder, path=it["Key"]), it["Key"].removeprefix(top)
                if it["Key"].startswith(below.prefix.path) or (
                    it["Key"] == f"{top}{name}" and "/" not in name and self._is_ours(place)
                ):
                    self._abort(place, it["UploadId"])
        for item in items:
            self.delete(item.place)

    def _abort(self, place: Place, upload_id: str) -> None:
        try:
            self._client.abort_multipart_upload(**address(place), UploadId=upload_id)
        except boto.ClientError as error:
            if code_of(error) not in SEND_AGAIN:
                raise
