"""An object that comes down in ranges, in parallel, each asked for again where its answer breaks
off.

boto3's own download hands everything on in small pieces, from thread to thread, which takes half as
much CPU time again; and it does not say how often it asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
from urllib3.exceptions import HTTPError

from job.errors import InputError
from job.storage.ahead import ahead
from job.storage.found import Item
from job.storage.s3_client import PART_BYTES, THREADS, Store
from job.storage.s3_errors import TAKEN, code_of

# botocore asks again where there is no answer; where one breaks off, this does.
TRIES = 5
PAUSE_S = 0.4
BROKEN_OFF = (boto.HTTPClientError, boto.IncompleteReadError, HTTPError)


def fetch_ranges(
    store: Store, pool: Executor, item: Item, target: Path, take: Callable[[bytes], None]
) -> None:
    """Write an object's content to a file.

    Args:
        store: The store.
        pool: Where the requests for a large object are sent from.
        item: The object.
        target: The file; it is removed where this fails.
        take: Is given the content, from its start to its end.

    Raises:
        InputError: Where the object is another one by now.
        OSError: Where the file can't be written.
        botocore's errors.
    """

    def get(start: int) -> bytes:
        return _range(store, item, start)

    starts = range(0, max(item.bytes, 1), PART_BYTES)
    contents = (get(0) for _ in starts) if len(starts) == 1 else ahead(pool, get, starts, THREADS)
    try:
        with target.open("wb", 0) as file, closing(contents):
            for content in contents:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                take(content)
    except BaseException:  # a signal too
        target.unlink(missing_ok=True)
        raise


def _range(store: Store, item: Item, start: int) -> bytes:
    options: dict[str, Any] = {"IfMatch": item.etag} if item.etag else {}
    if item.bytes > PART_BYTES:
        options["Range"] = f"bytes={start}-{min(start + PART_BYTES, item.bytes) - 1}"
    for tried in range(TRIES):
        try:
            answer = store.client.get_object(Bucket=item.place.host, Key=item.place.path, **options)
            return bytes(answer["Body"].read())
        except boto.ClientError as error:
            if code_of(error) in TAKEN:
                raise changed(item) from None
            raise
        except BROKEN_OFF:
            if tried == TRIES - 1:
                raise
            store.count("GetObject")
            time.sleep(PAUSE_S * 2**tried)
    raise AssertionError("the last time returns or raises")


def changed(item: Item) -> InputError:
    """What to say of an object that is not the one that was found."""
    return InputError(
        "The object was changed while the job ran.",
        where=str(item.place),
        hint="Run the job again when nobody writes there.",
    )
