"""The checksums that a store has of an object, and whether a file has them.

A store keeps a checksum of the whole object, or (``-3`` at its end) of the checksums of its three
parts; and an ETag, which is mostly an MD5 of the same kind. See
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

_MD5 = re.compile(r"^[0-9a-f]{32}(-[0-9]+)?$")
CHUNK = 1 << 20


class Hash(Protocol):
    """An object of hashlib."""

    def update(self, content: bytes | memoryview, /) -> object:
        """Add more content."""

    def digest(self) -> bytes:
        """The digest of all content."""


class _Crc32:
    def __init__(self, content: bytes = b"") -> None:
        self._value = zlib.crc32(content)

    def update(self, content: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(content, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: dict[str, Callable[..., Hash]] = {
    "SHA256": hashlib.sha256,
    "SHA1": partial(hashlib.sha1, usedforsecurity=False),
    "CRC32": _Crc32,
    "MD5": partial(hashlib.md5, usedforsecurity=False),
}


@dataclass(frozen=True)
class Claim:
    """A checksum that a store has of an object."""

    algorithm: str
    digest: bytes
    parts: int
    """The number of parts whose checksums it is made of; 0 if it is of the content itself."""
    certain: bool
    """False for an ETag: for some stores it is no MD5."""

    @property
    def of_all(self) -> bool:
        """Whether it is of the content itself."""
        return self.parts == 0


def claims(head: Mapping[str, Any]) -> list[Claim]:
    """The checksums in the answer to a HEAD request, the strongest first."""
    found = []
    for algorithm in ("SHA256", "SHA1", "CRC32"):
        value = head.get(f"Checksum{algorithm}")
        if value:
            text, _, parts = str(value).partition("-")
            found.append(Claim(algorithm, base64.b64decode(text), int(parts or 0), certain=True))
    etag = str(head.get("ETag", "")).strip('"')
    if _MD5.match(etag) and not head.get("SSECustomerAlgorithm"):
        text, _, parts = etag.partition("-")
        found.append(Claim("MD5", bytes.fromhex(text), int(parts or 0), certain=False))
    return found


def sha256_of(head: Mapping[str, Any]) -> str | None:
    """The content's SHA-256 in hexadecimal, where the store has computed it."""
    for claim in claims(head):
        if claim.algorithm == "SHA256" and claim.of_all:
            return claim.digest.hex()
    return None


class Digester:
    """Computes both digests of a content, each in its own thread.

    Args:
        claim: What it is to be compared with.
        part_bytes: The size of the object's parts, for a claim of several parts.
    """

    def __init__(self, claim: Claim | None, part_bytes: int) -> None:
        self._make = ALGORITHMS[claim.algorithm] if claim else _Crc32
        self._whole = hashlib.sha256()
        self._outer = self._make()
        # None for a claim of all.
        self._inner = None if claim is None or claim.of_all else self._make()
        self._part_bytes = self._left = part_bytes
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def update(self, content: bytes) -> None:
        """Add more content."""
        self._wait()
        self._last = self._pool.submit(self._claimed, content)
        self._whole.update(content)

    def finish(self) -> tuple[str, bytes]:
        """The content's SHA-256 in hexadecimal, and the digest to compare with the claim's."""
        self._wait()
        self._pool.shutdown()
        if self._inner is not None and self._left < self._part_bytes:
            self._end_part(self._inner)
        return self._whole.hexdigest(), self._outer.digest()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def _claimed(self, content: bytes) -> None:
        if self._inner is None:
            self._outer.update(content)
            return
        rest = memoryview(content)
        while rest:
            self._inner.update(rest[: self._left])
            rest, self._left = rest[self._left :], self._left - len(rest)
            if self._left <= 0:
                self._end_part(self._inner)

    def _end_part(self, inner: Hash) -> None:
        self._outer.update(inner.digest())
        self._inner, self._left = self._make(), self._part_bytes


def digests(path: Path, claim: Claim | None, part_bytes: int) -> tuple[str, bytes]:
    """Read a file once, for both its digests; see ``Digester``."""
    digester = Digester(claim, part_bytes)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digester.update(chunk)
    return digester.finish()
