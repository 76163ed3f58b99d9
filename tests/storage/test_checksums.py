"""A store's words of an object's content, and whether a file is it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path

import pytest

from job.storage.checksums import claims, digests, sha256_of

CONTENT = bytes(range(256)) * 10
PART = 1000
PARTS = [CONTENT[:1000], CONTENT[1000:2000], CONTENT[2000:]]


def base64_of(digest: bytes) -> str:
    """As stores write it."""
    return base64.b64encode(digest).decode()


def crc32(content: bytes) -> bytes:
    """The checksum's four bytes."""
    return zlib.crc32(content).to_bytes(4, "big")


SHA256 = hashlib.sha256(CONTENT)
OF_PARTS = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in PARTS))
MD5_OF_PARTS = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in PARTS))  # noqa: S324
HEADS = {
    "sha256": {"ChecksumSHA256": base64_of(SHA256.digest())},
    "sha1": {"ChecksumSHA1": base64_of(hashlib.sha1(CONTENT).digest())},  # noqa: S324
    "crc32": {"ChecksumCRC32": base64_of(crc32(CONTENT))},
    "md5": {"ETag": f'"{hashlib.md5(CONTENT).hexdigest()}"'},  # noqa: S324
    "sha256 of parts": {"ChecksumSHA256": f"{base64_of(OF_PARTS.digest())}-3"},
    "crc32 of parts": {
        "ChecksumCRC32": f"{base64_of(crc32(b''.join(crc32(part) for part in PARTS)))}-3"
    },
    "md5 of parts": {"ETag": f'"{MD5_OF_PARTS.hexdigest()}-3"'},
}


@pytest.mark.parametrize("name", HEADS)
def test_a_file_is_what_the_store_says(name: str, tmp_path: Path) -> None:
    """By each kind of checksum, of the whole and of parts; and one byte makes another."""
    (claim,) = claims(HEADS[name])
    assert claim.parts == (3 if "parts" in name else 0)
    assert claim.certain == ("md5" not in name)
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert digests(file, claim, PART) == (SHA256.hexdigest(), claim.digest)
    file.write_bytes(CONTENT[:-1] + b"!")
    assert digests(file, claim, PART)[1] != claim.digest


def test_parts_of_another_size_do_not_match(tmp_path: Path) -> None:
    """And an empty file is of no part at all."""
    (claim,) = claims(HEADS["sha256 of parts"])
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    assert digests(file, claim, PART + 1)[1] != claim.digest
    file.write_bytes(b"")
    assert digests(file, claim, PART)[1] == hashlib.sha256(b"").digest()


def test_the_strongest_comes_first() -> None:
    """A checksum that the store has computed before an ETag, which may be anything."""
    every = HEADS["md5"] | HEADS["crc32"] | HEADS["sha256"]
    assert [claim.algorithm for claim in claims(every)] == ["SHA256", "CRC32", "MD5"]
    assert sha256_of(every) == SHA256.hexdigest()
    assert sha256_of(HEADS["sha256 of parts"]) is None


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"ETag": '"opaque"'},
        {"ETag": '"' + "A" * 32 + '"'},
        HEADS["md5"] | {"SSECustomerAlgorithm": "AES256"},
        {"ChecksumSHA256": None},
    ],
)
def test_what_tells_nothing(head: dict[str, str | None]) -> None:
    """An ETag that is no MD5, or is one of what is encrypted."""
    assert claims(head) == []
