"""A large object that goes up in parts, in parallel, each with its digest."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.exceptions as boto

from job.storage.ahead import ahead
from job.storage.checksums import ALGORITHMS
from job.storage.place import Place
from job.storage.s3_client import THREADS, Store


def send_parts(
    store: Store,
    path: Path,
    place: Place,
    options: dict[str, Any],
    part_bytes: int,
    advance: Callable[[int], None],
) -> tuple[str, bytes]:
    """Upload a file in parts; what was sent is given up where this fails.

    Args:
        store: The store. Each part is sent with its SHA-256, where it may be.
        path: The file; a part of it for each thread is in memory.
        place: Bucket and key.
        options: What is sent with the object.
        part_bytes: The size of all parts but the last.
        advance: Is told how many more bytes are there.

    Returns:
        An algorithm, and its digest of the parts' digests: what the store computes, too.

    Raises:
        OSError: Where the file can't be read.
        botocore's errors.
    """
    where = {"Bucket": place.host, "Key": place.path}
    algorithm = "SHA256" if store.config.checksums == "when_supported" else "MD5"
    where["UploadId"] = store.client.create_multipart_upload(**where, **options)["UploadId"]
    try:
        with path.open("rb") as file, ThreadPoolExecutor(THREADS) as pool:

            def send(number: int) -> tuple[dict[str, Any], bytes]:
                content = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
                digest = ALGORITHMS[algorithm](content).digest()
                checksum = {}
                if algorithm == "SHA256":
                    checksum["ChecksumSHA256"] = base64.b64encode(digest).decode()
                answer = store.client.upload_part(
                    **where, PartNumber=number, Body=content, **checksum
                )
                named = {key: answer[key] for key in ("ETag", *checksum) if key in answer}
                advance(len(content))
                return {"PartNumber": number, **named}, digest

            numbers = range(1, -(-path.stat().st_size // part_bytes) + 1)
            with closing(ahead(pool, send, numbers, THREADS)) as sent:
                parts = list(sent)
        store.client.complete_multipart_upload(
            **where, MultipartUpload={"Parts": [part for part, _ in parts]}
        )
    except BaseException:  # a signal too; what can't be given up now, a later run gives up
        with contextlib.suppress(boto.BotoCoreError, boto.ClientError):
            store.client.abort_multipart_upload(**where)
        raise
    return algorithm, ALGORITHMS[algorithm](b"".join(digest for _, digest in parts)).digest()
