"""Writing to a bucket: objects that are known to be the file, and puts that hurt nobody else's."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
from s3transfer.subscribers import BaseSubscriber
from s3transfer.utils import ChunksizeAdjuster

from job.errors import StorageError
from job.store.digests import Content, claims, sha256_of
from job.store.s3 import PART_BYTES, Store
from job.store.s3_errors import TAKEN, code_of, in_words
from job.store.s3_read import listing, look_at
from job.store.uri import Place

# An upload that is not what was sent is done again so often.
UPLOADS = 3
SHA256_KEY = "sha256"
CONTENT_TYPES = {
    ".h5": "application/x-hdf5",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".keras": "application/zip",
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".zst": "application/zstd",
    ".xz": "application/x-xz",
    ".tar": "application/x-tar",
}
# What the store answers to the end of an upload that it ended already, or that somebody gave up.
AGAIN = ("NoSuchUpload", "BadDigest", "XAmzContentChecksumMismatch", "404")


@dataclass(frozen=True)
class Upload:
    """A file, and where it goes."""

    path: Path
    place: Place
    metadata: Mapping[str, str]

    def options(self, store: Store, sha256: str) -> dict[str, Any]:
        """What is sent with it."""
        options = {
            "ContentType": CONTENT_TYPES.get(self.path.suffix, "application/octet-stream"),
            "Metadata": {**self.metadata, SHA256_KEY: sha256},
        }
        if store.config.checksums == "when_supported":
            options |= _checksum(sha256, self.path.stat().st_size)
        return options


def _checksum(sha256: str, size: int) -> dict[str, str]:
    """What tells the store of the SHA-256. Told beforehand it is no trailer, which would make the
    object's ContentEncoding ``aws-chunked``; of parts botocore computes it.
    """
    if size < PART_BYTES:
        return {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}
    return {"ChecksumAlgorithm": "SHA256"}


def upload(store: Store, it: Upload, advance: Callable[[int], None]) -> None:
    """Upload a file, large ones in parts, and compare what the store says that it has.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails, or damages what it is given each time.
    """
    doing = "Uploading"
    with it.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = it.path.stat().st_size
    content = Content(it.path, sha256, ChunksizeAdjuster().adjust_chunksize(PART_BYTES, size))
    likely = "SHA256" if store.config.checksums == "when_supported" else "MD5"
    for left in reversed(range(UPLOADS)):
        with in_words(doing, it.place), ThreadPoolExecutor(1) as pool:
            # What the store is going to claim is known by the time that it does.
            known = pool.submit(content.digest, likely, of_all=size < PART_BYTES)
            try:
                _transfer(store, it, sha256, advance)
            except boto.ClientError as error:  # an answer may have been lost: look first
                if code_of(error) not in AGAIN or not left:
                    raise
            known.result()
            if _arrived(store, it, size, content):
                return
        advance(-size)
        if left:
            store.count("PutObject")
    raise StorageError(
        f"The object is not what was sent, {UPLOADS} times.",
        where=str(it.place),
        hint="Check the network and the store, and run again.",
    )


class _Told(BaseSubscriber):  # type: ignore[misc]  # it has no types
    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._lock = threading.Lock()

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:  # noqa: ARG002 - called by name
        with self._lock:
            self._advance(bytes_transferred)


def _transfer(store: Store, it: Upload, sha256: str, advance: Callable[[int], None]) -> None:
    with store.transfer() as transfer:
        transfer.upload(
            str(it.path),
            it.place.host,
            it.place.path,
            extra_args=it.options(store, sha256),
            subscribers=[_Told(advance)],
        ).result()


def _arrived(store: Store, it: Upload, size: int, content: Content) -> bool:
    head = look_at(store, it.place)
    if head is None or int(head["ContentLength"]) != size:
        return False
    for claim in claims(head):
        if content.fits(claim):
            return True
        if claim.certain:
            return False
    # Its ETags are no MD5, and it keeps no checksum: the size, and that this is our upload.
    return bool(head.get("Metadata", {}).get(SHA256_KEY) == content.sha256)


def has(store: Store, place: Place, size: int, sha256: str) -> bool:
    """Whether an object is there with this content, by the store's checksum or, of an object that
    went up in parts, by what was written with it.
    """
    with in_words("Checking the results", place):
        head = look_at(store, place)
    if head is None or int(head["ContentLength"]) != size:
        return False
    return (sha256_of(head) or head.get("Metadata", {}).get(SHA256_KEY)) == sha256


def put_if(
    store: Store, place: Place, content: bytes, metadata: Mapping[str, str], replaces: str | None
) -> str | None:
    """Put a small object, unless another one is there.

    Args:
        store: The store.
        place: Bucket and key.
        content: The object's content.
        metadata: What is written with it.
        replaces: The ETag of the one that may be there; None where none may.

    Returns:
        The new object's ETag; None where another one was there. The answer to our own put may have
        been lost, and then it is our own object that is there: whoever calls this looks.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    options: dict[str, Any] = {
        "ContentType": CONTENT_TYPES.get(Path(place.name).suffix, "application/octet-stream"),
        "Metadata": {**metadata, SHA256_KEY: sha256},
        **({"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}),
    }
    if store.config.checksums == "when_supported":
        options |= _checksum(sha256, 0)
    with in_words("Publishing the result", place):
        try:
            answer = store.client.put_object(
                Bucket=place.host, Key=place.path, Body=content, **options
            )
        except boto.ClientError as error:
            if code_of(error) in (*TAKEN, "404", "NoSuchKey"):
                return None
            if code_of(error) != "NotImplemented":
                raise
            store.warn(
                "This store knows no conditional writes: a run that ends at the same time as "
                "another of the same manifest may replace its result."
            )
            for name in ("IfMatch", "IfNoneMatch"):
                options.pop(name, None)
            answer = store.client.put_object(
                Bucket=place.host, Key=place.path, Body=content, **options
            )
    return str(answer["ETag"])


def put(store: Store, place: Place, content: bytes, metadata: Mapping[str, str]) -> None:
    """Put a small object, whatever is there.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails.
    """
    with in_words("Writing to the destination", place):
        store.client.put_object(
            Bucket=place.host, Key=place.path, Body=content, Metadata=dict(metadata)
        )


def remove(store: Store, place: Place) -> None:
    """Remove an object; one that is not there is removed already.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails.
    """
    with in_words("Removing what is not needed any more", place):
        store.client.delete_object(Bucket=place.host, Key=place.path)


def remove_all(store: Store, prefix: Place) -> None:
    """Remove every object whose key begins with the place's.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails.
    """
    with in_words("Removing what is not needed any more", prefix):
        for it in list(listing(store, prefix)):
            store.client.delete_object(Bucket=prefix.host, Key=it["Key"])


def give_up_uploads(store: Store, prefix: Place, which: Callable[[str], bool]) -> None:
    """Give up the uploads in parts that were begun to keys that begin so, and are of ``which``.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails.
    """
    with in_words("Giving up uploads that were broken off", prefix):
        pages = store.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=prefix.host, Prefix=prefix.path
        )
        for page in pages:
            for it in page.get("Uploads", []):
                if not it["Key"].startswith(prefix.path) or not which(it["Key"]):
                    continue
                try:
                    store.client.abort_multipart_upload(
                        Bucket=prefix.host, Key=it["Key"], UploadId=it["UploadId"]
                    )
                except boto.ClientError as error:
                    if code_of(error) not in AGAIN:
                        raise
