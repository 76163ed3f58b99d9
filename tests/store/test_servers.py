"""The store of the tests is one: it refuses what a store refuses, and keeps what it is given."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.certificates import Certificates
from tests.identities import IDENTITIES, MODELS, PUBLIC, RESULTS, STRANGER, WRONG_KEY
from tests.seaweed import Seaweed

# The least that a part may have, but the last.
PART = 5 << 20


def code(refused: pytest.ExceptionInfo[Any]) -> tuple[int, str]:
    """The status and the code of an error."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def sha256(data: bytes) -> str:
    """As stores write it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


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
    assert stored.sha256 == sha256(b"hello")
    assert seaweed.uploads(RESULTS, prefix) == []
    assert seaweed.listing(MODELS, prefix) == []


def test_parts_become_one(seaweed: Seaweed, prefix: str) -> None:
    """An upload in parts is pending, then one object with the checksum of the checksums."""
    client = seaweed.client("job")
    where = {"Bucket": RESULTS, "Key": f"{prefix}parts"}
    upload = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    assert [pending["UploadId"] for pending in seaweed.uploads(RESULTS, prefix)] == [upload]
    assert seaweed.listing(RESULTS, prefix) == []
    bodies = [b"a" * PART, b"b"]
    parts = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                **where, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
            )["ETag"],
            "ChecksumSHA256": sha256(body),
        }
        for number, body in enumerate(bodies, 1)
    ]
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    (stored,) = seaweed.listing(RESULTS, prefix)
    assert stored.size == PART + 1
    together = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert stored.sha256 == f"{sha256(together)}-2"
    assert seaweed.uploads(RESULTS, prefix) == []


@pytest.mark.parametrize(
    ("keys", "refusal"),
    [
        (STRANGER, (403, "InvalidAccessKeyId")),
        ((IDENTITIES["job"][0], WRONG_KEY), (403, "SignatureDoesNotMatch")),
        (None, (403, "AccessDenied")),
    ],
)
def test_wrong_keys(seaweed: Seaweed, prefix: str, keys: Any, refusal: Any) -> None:
    """Who is unknown, or has a wrong secret, or none, gets nothing."""
    with pytest.raises(ClientError) as refused:
        seaweed.client(keys).get_object(Bucket=RESULTS, Key=f"{prefix}a")
    assert code(refused) == refusal


def test_identities_are_kept_apart(seaweed: Seaweed, prefix: str) -> None:
    """A reader of models cannot write them, and a job that writes results cannot either."""
    seaweed.client().put_object(Bucket=MODELS, Key=f"{prefix}a", Body=b"m")
    for name in ("reader", "job"):
        client = seaweed.client(name)
        assert client.get_object(Bucket=MODELS, Key=f"{prefix}a")["Body"].read() == b"m"
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket=MODELS, Key=f"{prefix}a", Body=b"other")
        assert code(refused) == (403, "AccessDenied")
    for name, bucket in (("reader", RESULTS), ("writer", MODELS)):
        with pytest.raises(ClientError) as refused:
            seaweed.client(name).get_object(Bucket=bucket, Key=f"{prefix}a")
        assert code(refused) == (403, "AccessDenied")
        with pytest.raises(ClientError) as refused:
            seaweed.client(name).head_object(Bucket=bucket, Key=f"{prefix}a")
        assert code(refused) == (403, "403")


def test_public_models_need_no_keys(seaweed: Seaweed, prefix: str) -> None:
    """Anybody reads under one prefix, unsigned, and nothing else."""
    for key in (f"{PUBLIC}{prefix}a", f"{prefix}a"):
        seaweed.client().put_object(Bucket=MODELS, Key=key, Body=b"m")
    nobody = seaweed.client(None)
    assert nobody.get_object(Bucket=MODELS, Key=f"{PUBLIC}{prefix}a")["Body"].read() == b"m"
    with pytest.raises(ClientError) as refused:
        nobody.get_object(Bucket=MODELS, Key=f"{prefix}a")
    assert code(refused) == (403, "AccessDenied")
    with pytest.raises(ClientError) as refused:
        nobody.put_object(Bucket=MODELS, Key=f"{PUBLIC}{prefix}b", Body=b"m")
    assert code(refused) == (403, "AccessDenied")


def test_conditions_and_checksums(seaweed: Seaweed, prefix: str) -> None:
    """A key that is taken stays as it is, and what arrives damaged is not stored."""
    client = seaweed.client("job")
    client.put_object(Bucket=RESULTS, Key=f"{prefix}a", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=RESULTS, Key=f"{prefix}a", Body=b"2", IfNoneMatch="*")
    assert code(refused) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=RESULTS, Key=f"{prefix}b", Body=b"1", ChecksumSHA256=sha256(b"2"))
    assert code(refused)[0] == 400
    (stored,) = seaweed.listing(RESULTS, prefix)
    assert stored.size == 1
    assert client.get_object(Bucket=RESULTS, Key=stored.key)["Body"].read() == b"1"


def test_stores_stop_and_start(certificates: Certificates, tmp_path: Path) -> None:
    """Two stores run at once, apart; one that stops and starts has kept what it had."""
    with Seaweed(tmp_path / "1", certificates) as one, Seaweed(tmp_path / "2", certificates) as two:
        one.client().put_object(Bucket=RESULTS, Key="a", Body=b"1")
        assert two.listing(RESULTS) == []
        before, url = one.listing(RESULTS), one.url()
        one.stop()
        one.start()
        assert one.url() == url
        assert one.listing(RESULTS) == before
        assert one.client().get_object(Bucket=RESULTS, Key="a")["Body"].read() == b"1"
