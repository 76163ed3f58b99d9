"""Objects that go up and come down in parallel, and are verified.

boto3's managed transfers are not used: to verify them each file would have to be read once more,
since downloads write ranges in any order and uploads do not return the parts' digests. Downloads
also take half as much CPU time again, and do not report answers that break off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import botocore.exceptions as boto
from s3transfer.utils import ChunksizeAdjuster
from urllib3.exceptions import HTTPError

from job.errors import InputError, StorageError
from job.storage.backend import Advance, Downloaded, Item, Upload
from job.storage.checksums import ALGORITHMS, CHUNK, Claim, Digester, claims, digests
from job.storage.retry import RANGE_READ, THREADS, TRANSFERS, persist
from job.storage.s3_client import PART_BYTES, Store, address
from job.storage.s3_errors import PRECONDITION_FAILED, code_of, translated

SHA256_KEY = "sha256"
BROKEN_OFF = (boto.HTTPClientError, boto.IncompleteReadError, HTTPError)
# The answer to the end of an upload that has ended already, or that somebody aborted.
SEND_AGAIN = ("NoSuchUpload", "BadDigest", "XAmzContentChecksumMismatch", "404")

T = TypeVar("T")
R = TypeVar("R")


class _Progress:
    """Counts the bytes of one object, and reports them; one thread at a time."""

    _lock = threading.Lock()

    def __init__(self, advance: Advance) -> None:
        self.bytes = 0
        self._advance = advance

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            self._advance(count)


def download(
    store: Store, pool: Executor, item: Item, target: Path, advance: Advance
) -> Downloaded:
    """Download an object to a file, and compare it with the checksum that the store has of it.
    The requests for a large object are sent from the pool.

    Raises:
        InputError: Where it was changed meanwhile, or the store's copy does not have its checksum.
        StorageError: Where the store fails, or damages what it sends each time.
    """
    damaged: list[str] = []
    while len(damaged) < TRANSFERS:
        progress = _Progress(advance)
        with translated("Downloading", item.place):
            head = store.head(item.place)
            if head is None or head.get("ETag") != item.etag:
                raise _changed(item)
            claim, part_bytes = _best_claim(store, item, head)
            digester = Digester(claim, part_bytes)
            try:
                _fetch_ranges(store, pool, item, target, digester, progress)
                damage = ""
            except boto.FlexibleChecksumError as error:
                damage = str(error)
        if not damage:
            sha256, digest = digester.finish()
            if target.stat().st_size == item.bytes and (claim is None or digest == claim.digest):
                how = claim.algorithm if claim else "its size alone: the store keeps no checksum"
                return Downloaded(item.bytes, sha256, f"verified by {how}")
            if claim is not None and not claim.certain and sha256 in damaged:
                # The same content twice: this store's ETags are no MD5.
                how = "by a second download: the store's ETag is no MD5, and it keeps no checksum"
                return Downloaded(item.bytes, sha256, f"verified {how}")
            damage = sha256
        if damage in damaged:
            raise InputError(
                "The object is damaged in the store: its content does not have the checksum that "
                "the store keeps of it.",
                where=str(item.place),
                hint="Upload it again.",
            )
        damaged.append(damage)
        target.unlink(missing_ok=True)
        progress.add(-progress.bytes)
        if len(damaged) < TRANSFERS:
            store.count("GetObject")
    raise StorageError(
        f"The object was damaged on the way, {TRANSFERS} times.",
        where=str(item.place),
        hint="Check the network, and run again.",
    )


def _best_claim(store: Store, item: Item, head: dict[str, Any]) -> tuple[Claim | None, int]:
    """What to compare an object with, and the size of its parts."""
    for claim in claims(head):
        if claim.of_all:
            return claim, 0
        first = store.head(item.place, PartNumber=1)
        if first is None or not first["ContentLength"]:
            continue
        if first.get("PartsCount", claim.parts) == claim.parts:
            return claim, int(first["ContentLength"])
    return None, 0


def _fetch_ranges(
    store: Store, pool: Executor, item: Item, target: Path, digester: Digester, progress: _Progress
) -> None:
    """Write an object's content to a file, which is removed where this fails."""

    def get(start: int) -> bytes:
        return _fetch_range(store, item, start)

    starts = range(0, max(item.bytes, 1), PART_BYTES)
    contents = (get(0) for _ in starts) if len(starts) == 1 else ahead(pool, get, starts, THREADS)
    try:
        with target.open("wb", 0) as file, closing(contents):
            for content in contents:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                digester.update(content)
                progress.add(len(content))
    except BaseException:  # a signal, too
        target.unlink(missing_ok=True)
        raise


def _fetch_range(store: Store, item: Item, start: int) -> bytes:
    options: dict[str, Any] = {"IfMatch": item.etag} if item.etag else {}
    if item.bytes > PART_BYTES:
        options["Range"] = f"bytes={start}-{min(start + PART_BYTES, item.bytes) - 1}"

    def get() -> bytes:
        answer = store.client.get_object(**address(item.place), **options)
        return bytes(answer["Body"].read())

    try:
        # botocore sends a request again that gets no answer, but not one whose answer breaks off.
        return persist(get, BROKEN_OFF, RANGE_READ, lambda: store.count("GetObject"))
    except boto.ClientError as error:
        if code_of(error) in PRECONDITION_FAILED:
            raise _changed(item) from None
        raise


def _changed(item: Item) -> InputError:
    return InputError(
        "The object was changed while the job ran.",
        where=str(item.place),
        hint="Run the job again when nobody writes there.",
    )


def send(store: Store, upload: Upload, advance: Advance) -> None:
    """Upload a file, large ones in parts, and compare it with the checksum that the store has.

    Raises:
        InputError: Where the store refuses it.
        StorageError: Where it fails, or damages what it is given each time.
    """
    for left in reversed(range(TRANSFERS)):
        known = {"SHA256": bytes.fromhex(upload.sha256)}
        progress = _Progress(advance)
        with translated("Uploading", upload.place):
            try:
                known |= _send_once(store, upload, progress)
            except boto.ClientError as error:  # an answer may have been lost: look first
                if code_of(error) not in SEND_AGAIN or not left:
                    raise
            if _has_arrived(store, upload, known):
                progress.add(upload.bytes - progress.bytes)
                return
        progress.add(-progress.bytes)
        if left:
            store.count("PutObject")
    raise StorageError(
        f"The object is not what was sent, {TRANSFERS} times.",
        where=str(upload.place),
        hint="Check the network and the store, and run again.",
    )


def _send_once(store: Store, upload: Upload, progress: _Progress) -> dict[str, bytes]:
    """Send a file. Returns digests that are known by now; of parts under the algorithm's name and
    ``-``.
    """
    options: dict[str, Any] = {
        "ContentType": upload.media_type,
        "Metadata": {**upload.metadata, SHA256_KEY: upload.sha256},
    }
    if upload.bytes > PART_BYTES:
        return _send_parts(store, upload, options, progress)
    options |= store.checksum(bytes.fromhex(upload.sha256))
    content = upload.path.read_bytes()
    store.client.put_object(**address(upload.place), Body=content, **options)
    progress.add(upload.bytes)
    return {}


def _send_parts(
    store: Store, upload: Upload, options: dict[str, Any], progress: _Progress
) -> dict[str, bytes]:
    """Upload a file in parts; where this fails the upload is aborted. A part for each thread is in
    memory. The digest of the parts' digests is what the store computes, too.
    """
    client = store.client
    algorithm = "MD5"
    if store.config.checksums == "when_supported":
        algorithm = options["ChecksumAlgorithm"] = "SHA256"
    part_bytes = _part_bytes(upload.bytes)
    where = address(upload.place)
    where["UploadId"] = client.create_multipart_upload(**where, **options)["UploadId"]
    try:
        with upload.path.open("rb") as file, ThreadPoolExecutor(THREADS) as pool:

            def send_part(number: int) -> tuple[dict[str, Any], bytes]:
                content = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
                digest = ALGORITHMS[algorithm](content).digest()
                checksum = store.checksum(digest)
                answer = client.upload_part(**where, PartNumber=number, Body=content, **checksum)
                named = {key: answer[key] for key in ("ETag", *checksum) if key in answer}
                progress.add(len(content))
                return {"PartNumber": number, **named}, digest

            numbers = range(1, -(-upload.bytes // part_bytes) + 1)
            with closing(ahead(pool, send_part, numbers, THREADS)) as sent:
                parts = list(sent)
        client.complete_multipart_upload(
            **where, MultipartUpload={"Parts": [part for part, _ in parts]}
        )
    except BaseException:  # a signal, too; what can't be aborted now, a later run aborts
        with contextlib.suppress(boto.BotoCoreError, boto.ClientError):
            client.abort_multipart_upload(**where)
        raise
    of_parts = b"".join(digest for _, digest in parts)
    return {f"{algorithm}-": ALGORITHMS[algorithm](of_parts).digest()}


def _part_bytes(size: int) -> int:
    """No object has more than 10,000 parts."""
    return int(ChunksizeAdjuster().adjust_chunksize(PART_BYTES, size))


def _has_arrived(store: Store, upload: Upload, known: dict[str, bytes]) -> bool:
    """Whether the object is the file, by the store's checksum of it; where it has none, by reading
    it back.
    """
    head = store.head(upload.place)
    if head is None or int(head["ContentLength"]) != upload.bytes:
        return False
    for claim in claims(head):
        kind = claim.algorithm + ("" if claim.of_all else "-")
        if kind not in known:
            known[kind] = digests(upload.path, claim, _part_bytes(upload.bytes))[1]
        if known[kind] == claim.digest or claim.certain:
            return known[kind] == claim.digest
    sha256 = hashlib.sha256()
    for chunk in store.client.get_object(**address(upload.place))["Body"].iter_chunks(CHUNK):
        sha256.update(chunk)
    return sha256.hexdigest() == upload.sha256


def ahead(
    pool: Executor, do: Callable[[T], R], values: Iterable[T], limit: int
) -> Generator[R, None, None]:
    """What ``do`` returns for each value, in their order; no more than ``limit`` of them are under
    way or wait to be used. After an error, or when no more are used, nothing new begins.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for value in values:
            if len(waiting) == limit:
                yield waiting.popleft().result()
            waiting.append(pool.submit(do, value))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
