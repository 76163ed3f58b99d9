"""The store of the tests is one: it refuses what a store refuses, and keeps what it is given."""

from __future__ import annotations

import pytest

from tests.seaweed import MODELS, RESULTS, Seaweed


@pytest.mark.parametrize("https", [False, True])
def test_objects_come_back(seaweed: Seaweed, prefix: str, https: bool) -> None:
    """What is put is got, over http and https, and listed with its checksum."""
    client = seaweed.client("job", https=https)
    client.put_object(
        Bucket=RESULTS,
        Key=f"{prefix}a",
        Body=b"hello",
        ChecksumAlgorithm="SHA256",
        Metadata={"m": "1"},
    )
    assert client.get_object(Bucket=RESULTS, Key=f"{prefix}a")["Body"].read() == b"hello"
    (stored,) = seaweed.listing(RESULTS, prefix)
    assert (stored.key, stored.size, stored.metadata) == (f"{prefix}a", 5, {"m": "1"})
    assert stored.sha256 == "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
    assert seaweed.uploads(RESULTS, prefix) == []
    assert seaweed.listing(MODELS, prefix) == []
