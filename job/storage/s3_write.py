"""Writing to a bucket: objects that are known to be the file, and puts that hurt nobody else's."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
from s3transfer.utils import ChunksizeAdjuster

from job.errors import StorageError
from job.storage.checksums import CHUNK, claims, digests, sha256_of
from job.storage.place import Place
from job.storage.s3_client import PART_BYTES, Store
from job.storage.s3_errors import TAKEN, code_of, in_words
from job.storage.s3_parts import send_parts
from job.storage.s3_read import listing, look_at

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
    """A file, its SHA-256, and where it goes."""

    path: Path
    sha256: str
    place: Place
    metadata: Mapping[str, str]


def upload(store: Store, it: Upload, advance: Callable[[int], None]) -> None:
    """Upload a file, large ones in parts, and compare what the store says that it has.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails, or damages what it is given each time.
    """
    size = it.path.stat().st_size
    for left in reversed(range(UPLOADS)):
        known = {"SHA256": bytes.fromhex(it.sha256)}
        told = _Told(advance)
        with in_words("Uploading", it.place):
            try:
                known |= _send(store, it, size, told.more)
            except boto.ClientError as error:  # an answer may have been lost: look first
                if code_of(error) not in AGAIN or not left:
                    raise
            if _arrived(store, it, size, known):
                told.more(size - told.bytes)
                return
        told.more(-told.bytes)
        if left:
            store.count("PutObject")
    raise StorageError(
        f"The object is not what was sent, {UPLOADS} times.",
        where=str(it.place),
        hint="Check the network and the store, and run again.",
    )


class _Told:
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.bytes = 0
        self._advance = advance
        self._lock = threading.Lock()

    def more(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            self._advance(count)


def _send(store: Store, it: Upload, size: int, advance: Callable[[int], None]) -> dict[str, bytes]:
    """Send a file; its digests that are known by now, of parts under the algorithm's name and
    ``-``.
    """
    options: dict[str, Any] = {
        "ContentType": CONTENT_TYPES.get(it.path.suffix, "application/octet-stream"),
        "Metadata": {**it.metadata, SHA256_KEY: it.sha256},
    }
    with_checksum = store.config.checksums == "when_supported"
    if size > PART_BYTES:
        if with_checksum:
            options["ChecksumAlgorithm"] = "SHA256"
        algorithm, digest = send_parts(
            store, it.path, it.place, options, _part_bytes(size), advance
        )
        return {f"{algorithm}-": digest}
    if with_checksum:
        options |= _checksum(it.sha256)
    content = it.path.read_bytes()
    store.client.put_object(Bucket=it.place.host, Key=it.place.path, Body=content, **options)
    advance(size)
    return {}


def _checksum(sha256: str) -> dict[str, str]:
    """What tells the store of the SHA-256. Told beforehand it is no trailer, which would make the
    object's ContentEncoding ``aws-chunked``.
    """
    return {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}


def _part_bytes(size: int) -> int:
    """No object has more than 10,000 parts."""
    return int(ChunksizeAdjuster().adjust_chunksize(PART_BYTES, size))


def _arrived(store: Store, it: Upload, size: int, known: dict[str, bytes]) -> bool:
    """Whether the object is the file, by what the store has computed of it; else it is read."""
    head = look_at(store, it.place)
    if head is None or int(head["ContentLength"]) != size:
        return False
    for claim in claims(head):
        kind = claim.algorithm + ("" if claim.of_all else "-")
        if kind not in known:
            known[kind] = digests(it.path, claim, _part_bytes(size))[1]
        if known[kind] == claim.digest or claim.certain:
            return known[kind] == claim.digest
    # It keeps no checksum, and its ETags are no MD5.
    return _read_back(store, it.place) == it.sha256


def _read_back(store: Store, place: Place) -> str:
    sha256 = hashlib.sha256()
    body = store.client.get_object(Bucket=place.host, Key=place.path)["Body"]
    for chunk in body.iter_chunks(CHUNK):
        sha256.update(chunk)
    return sha256.hexdigest()


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
        options |= _checksum(sha256)
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
