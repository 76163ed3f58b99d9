"""What a store says of an object's content, and whether a file is that content.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_MD5 = re.compile(r"^[0-9a-f]{32}(-[0-9]+)?$")
CHUNK = 1 << 20


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, content: bytes, /) -> object:
        """Take more."""

    def digest(self) -> bytes:
        """The digest of all that was taken."""


class _Crc32:
    def __init__(self, content: bytes = b"") -> None:
        self._value = zlib.crc32(content)

    def update(self, content: bytes, /) -> None:
        self._value = zlib.crc32(content, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _md5(content: bytes = b"") -> Hash:
    return hashlib.md5(content, usedforsecurity=False)


def _sha1(content: bytes = b"") -> Hash:
    return hashlib.sha1(content, usedforsecurity=False)


ALGORITHMS: dict[str, Callable[..., Hash]] = {
    "SHA256": hashlib.sha256,
    "SHA1": _sha1,
    "CRC32": _Crc32,
    "MD5": _md5,
}


@dataclass(frozen=True)
class Claim:
    """What a store says that the content's checksum is."""

    algorithm: str
    digest: bytes
    parts: int
    """Of how many parts' checksums it is one; 0 where it is of the content itself."""
    certain: bool
    """False for an ETag: some stores make it of something else."""

    @property
    def of_all(self) -> bool:
        """Whether it is of the content itself."""
        return self.parts == 0


def claims(head: Mapping[str, Any]) -> list[Claim]:
    """What the answer to a HEAD request claims, the strongest first."""
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


def digests(path: Path, claim: Claim | None, part_bytes: int) -> tuple[str, bytes]:
    """Read a file once, for both its digests.

    Args:
        path: The file.
        claim: What it is to be compared with.
        part_bytes: The size of the object's parts, for a claim of several parts.

    Returns:
        The file's SHA-256 in hexadecimal, and the digest to compare with the claim's.
    """
    whole = hashlib.sha256()
    make = ALGORITHMS[claim.algorithm] if claim else _Crc32
    outer = make()
    with path.open("rb") as file:
        if claim is None or claim.of_all:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                outer.update(chunk)
            return whole.hexdigest(), outer.digest()
        while True:
            inner, left = make(), part_bytes
            while left and (chunk := file.read(min(CHUNK, left))):
                whole.update(chunk)
                inner.update(chunk)
                left -= len(chunk)
            if left == part_bytes:
                return whole.hexdigest(), outer.digest()
            outer.update(inner.digest())


def matches(path: Path, sha256: str, claim: Claim, part_bytes: int) -> bool:
    """Whether an object's claim is of this file, whose SHA-256 (hexadecimal) is known."""
    if claim.algorithm == "SHA256" and claim.of_all:
        return claim.digest.hex() == sha256
    found, digest = digests(path, claim, part_bytes)
    return found == sha256 and digest == claim.digest
