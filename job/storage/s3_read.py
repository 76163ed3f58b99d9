"""Reading from a bucket: what is there, and a file of it that is known to be the object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import botocore.exceptions as boto

from job.errors import InputError, StorageError
from job.storage.checksums import Claim, Digester, claims, sha256_of
from job.storage.found import Downloaded, Item
from job.storage.place import Place
from job.storage.s3_client import Store
from job.storage.s3_errors import MISSING, code_of, in_words
from job.storage.s3_ranges import changed, fetch_ranges

# A download that is not what the store says it is, is done again so often.
DOWNLOADS = 3
NO_WORDS = ("400", "403")

Advance = Callable[[int], None]


def look(store: Store, place: Place, doing: str) -> Item | None:
    """What the store knows of an object; None where there is none of that key.

    Raises:
        InputError: Where there is no such bucket, or access is denied.
        StorageError: Where the store fails.
    """
    with in_words(doing, place):
        head = look_at(store, place)
        if head is None:
            store.client.head_bucket(Bucket=place.host)
            return None
    return Item(place.name, place, int(head["ContentLength"]), head.get("ETag"), sha256_of(head))


def look_into(store: Store, place: Place, doing: str) -> list[Item]:
    """All objects whose keys begin with the place's, sorted; their names are what comes after.

    Raises:
        InputError: Where there is no such bucket, or access is denied.
        StorageError: Where the store fails.
    """
    with in_words(doing, place):
        return sorted(
            (
                Item(
                    it["Key"][len(place.path) :], _at(place, it["Key"]), it["Size"], it.get("ETag")
                )
                for it in listing(store, place)
            ),
            key=lambda item: item.name,
        )


def listing(store: Store, place: Place, after: str = "") -> Iterator[dict[str, Any]]:
    """The store's own words of all objects whose keys begin with the place's, sorted; those alone
    that come after a key, where one is given.
    """
    options = {"StartAfter": after} if after else {}
    pages = store.client.get_paginator("list_objects_v2").paginate(
        Bucket=place.host, Prefix=place.path, **options
    )
    for page in pages:
        yield from page.get("Contents", [])


def read(store: Store, place: Place, most: int, doing: str) -> bytes | None:
    """A small object's content; None where there is none of that key.

    Raises:
        InputError: Where it has more than ``most`` bytes, or is refused.
        StorageError: Where the store fails.
    """
    for left in reversed(range(DOWNLOADS)):
        with in_words(doing, place):
            try:
                answer = store.client.get_object(Bucket=place.host, Key=place.path)
                if answer["ContentLength"] > most:
                    raise InputError(
                        f"{doing} failed: it has {answer['ContentLength']:,} bytes, more than the "
                        f"{most:,} that it may have.",
                        where=str(place),
                        hint="Check that the URI names the right object.",
                    )
                return bytes(answer["Body"].read())
            except boto.ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
            except (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError):
                if not left:  # botocore does not send a request again whose answer breaks off
                    raise
                store.count("GetObject")
    raise AssertionError("the last time returns or raises")


def download(
    store: Store, pool: Executor, item: Item, target: Path, advance: Advance
) -> Downloaded:
    """Download an object in parallel ranges, and compare it with what the store says of it.

    Args:
        store: The store.
        pool: Where the requests for a large object are sent from.
        item: The object; if it is another one by now, that is refused.
        target: The file to write.
        advance: Is told how many more bytes are here.

    Raises:
        InputError: Where it is too large, was changed meanwhile, or the store itself holds
            something else than its checksum says.
        StorageError: Where the store fails, or damages what it sends each time.
    """
    doing = "Downloading"
    seen: list[str] = []
    for _ in range(DOWNLOADS):
        with in_words(doing, item.place):
            head = look_at(store, item.place)
            if head is None or head.get("ETag") != item.etag:
                raise changed(item)
            claim, part_bytes = _best_claim(store, item, head)
            digester = Digester(claim, part_bytes)
            taken = _Taken(digester, advance)
            try:
                fetch_ranges(store, pool, item, target, taken.take)
                damage = ""
            except boto.FlexibleChecksumError as error:
                damage = str(error)
        if not damage:
            sha256, digest = digester.finish()
            if target.stat().st_size == item.bytes and (claim is None or digest == claim.digest):
                how = claim.algorithm if claim else "its size alone: the store keeps no checksum"
                return Downloaded(target, item.bytes, sha256, f"verified by {how}")
            if claim is not None and not claim.certain and sha256 in seen:
                # Twice the same content: this store's ETags are no MD5.
                how = "by a second download: the store's ETag is no MD5, and it keeps no checksum"
                return Downloaded(target, item.bytes, sha256, f"verified {how}")
            damage = sha256
        if damage in seen:
            raise InputError(
                "The object is damaged in the store: its content does not have the checksum that "
                "the store keeps of it.",
                where=str(item.place),
                hint="Upload it again.",
            )
        seen.append(damage)
        target.unlink(missing_ok=True)
        advance(-taken.bytes)
        if len(seen) < DOWNLOADS:
            store.count("GetObject")
    raise StorageError(
        f"The object was damaged on the way, {DOWNLOADS} times.",
        where=str(item.place),
        hint="Check the network, and run again.",
    )


def look_at(store: Store, place: Place, **options: object) -> dict[str, Any] | None:
    """The answer to a HEAD request, with checksums; None where there is no such key or bucket.

    Raises:
        botocore's errors.
    """
    if store.config.checksums == "when_supported":
        options["ChecksumMode"] = "ENABLED"
    try:
        head: dict[str, Any] = store.client.head_object(
            Bucket=place.host, Key=place.path, **options
        )
    except boto.ClientError as error:
        if code_of(error) in MISSING:
            return None
        if code_of(error) in NO_WORDS:  # a HEAD's refusal has no body, and a GET's says why
            store.client.get_object(Bucket=place.host, Key=place.path, Range="bytes=0-0")
        raise
    return head


def _best_claim(store: Store, item: Item, head: dict[str, Any]) -> tuple[Claim | None, int]:
    """What to compare an object with, and the size of its parts."""
    for claim in claims(head):
        if claim.of_all:
            return claim, 0
        first = look_at(store, item.place, PartNumber=1)
        if first is None or not first["ContentLength"]:
            continue
        if first.get("PartsCount", claim.parts) == claim.parts:
            return claim, int(first["ContentLength"])
    return None, 0


class _Taken:
    """Digests what comes, and tells how much it is."""

    def __init__(self, digester: Digester, advance: Advance) -> None:
        self.bytes = 0
        self._digester = digester
        self._advance = advance

    def take(self, content: bytes) -> None:
        self._digester.update(content)
        self._advance(len(content))
        self.bytes += len(content)


def _at(place: Place, key: str) -> Place:
    return Place("s3", key, place.host)
