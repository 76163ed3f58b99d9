"""The store of the tests is one: it refuses what a store refuses, and keeps what it is given."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import auth
from botocore.exceptions import ClientError

from tests.support.certificates import Certificates
from tests.support.identities import IDENTITIES, MODELS, PUBLIC, RESULTS, STRANGER, WRONG_KEY
from tests.support.required import lacking
from tests.support.seaweed import Seaweed, unavailable

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


def start_upload(client: Any, where: dict[str, str], bodies: list[bytes]) -> dict[str, Any]:
    """Upload parts; what completes them is returned."""
    upload = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = client.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        named = {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": sha256(body)}
        parts.append(named)
    return {**where, "UploadId": upload, "MultipartUpload": {"Parts": parts}}


def test_parts_become_one(seaweed: Seaweed, prefix: str) -> None:
    """An upload in parts is pending, then one object with the checksum of the checksums."""
    client = seaweed.client("job")
    where = {"Bucket": RESULTS, "Key": f"{prefix}parts"}
    bodies = [b"a" * PART, b"b"]
    upload = start_upload(client, where, bodies)
    (pending,) = seaweed.uploads(RESULTS, prefix)
    assert pending["UploadId"] == upload["UploadId"]
    assert seaweed.listing(RESULTS, prefix) == []
    client.complete_multipart_upload(**upload)
    (stored,) = seaweed.listing(RESULTS, prefix)
    assert stored.size == PART + 1
    together = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert stored.sha256 == f"{sha256(together)}-2"
    assert seaweed.uploads(RESULTS, prefix) == []
    # Once more, as after a lost answer: it is told again, unless a condition fails by now.
    assert client.complete_multipart_upload(**upload)["ChecksumSHA256"] == stored.sha256
    with pytest.raises(ClientError) as refused:
        client.complete_multipart_upload(**upload, IfNoneMatch="*")
    assert code(refused) == (412, "PreconditionFailed")


def test_parts_do_not_replace(seaweed: Seaweed, prefix: str) -> None:
    """Parts that must not replace an object stay pending; a wrong checksum completes nothing."""
    client = seaweed.client("job")
    where = {"Bucket": RESULTS, "Key": f"{prefix}parts"}
    upload = start_upload(client, where, [b"a" * PART, b"b"])
    damaged = upload | {
        "MultipartUpload": {
            "Parts": [
                part | {"ChecksumSHA256": sha256(b"else")}
                for part in upload["MultipartUpload"]["Parts"]
            ]
        }
    }
    with pytest.raises(ClientError) as refused:
        client.complete_multipart_upload(**damaged)
    assert code(refused) == (400, "BadDigest")
    assert seaweed.listing(RESULTS, prefix) == []
    client.put_object(**where, Body=b"1")
    with pytest.raises(ClientError) as refused:
        client.complete_multipart_upload(**upload, IfNoneMatch="*")
    assert code(refused) == (412, "PreconditionFailed")
    assert len(seaweed.uploads(RESULTS, prefix)) == 1
    client.abort_multipart_upload(**where, UploadId=upload["UploadId"])
    assert seaweed.uploads(RESULTS, prefix) == []
    assert [stored.size for stored in seaweed.listing(RESULTS, prefix)] == [1]


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


def test_parts_of_what_is_still_the_same(seaweed: Seaweed, prefix: str) -> None:
    """A range is given if the object has the ETag, and a write replaces if it has."""
    client = seaweed.client("job")
    where = {"Bucket": RESULTS, "Key": f"{prefix}a"}
    etag = client.put_object(**where, Body=b"0123456789")["ETag"]
    answer = client.get_object(**where, Range="bytes=4-", IfMatch=etag)
    assert (answer["ContentRange"], answer["Body"].read()) == ("bytes 4-9/10", b"456789")
    client.put_object(**where, Body=b"another", IfMatch=etag)
    calls: list[Callable[[], Any]] = [
        lambda: client.get_object(**where, Range="bytes=4-", IfMatch=etag),
        lambda: client.put_object(**where, Body=b"a third", IfMatch=etag),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == (412, "PreconditionFailed")


def test_one_of_many_writers(seaweed: Seaweed, prefix: str) -> None:
    """Of writers at once that must not replace an object, one succeeds."""
    client = seaweed.client("job", max_pool_connections=8)

    def write(number: int) -> int:
        try:
            client.put_object(
                Bucket=RESULTS, Key=f"{prefix}a", Body=str(number).encode(), IfNoneMatch="*"
            )
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == [200] + [412] * 7


@pytest.mark.parametrize("minutes", [-20, 20])
def test_wrong_clocks(
    seaweed: Seaweed, prefix: str, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose clock is wrong is told so, if it asked for a body."""
    now = auth.get_current_datetime

    def wrong(*arguments: Any, **options: Any) -> Any:
        return now(*arguments, **options) + timedelta(minutes=minutes)

    monkeypatch.setattr(auth, "get_current_datetime", wrong)
    with pytest.raises(ClientError) as refused:
        seaweed.client("job").get_object(Bucket=RESULTS, Key=f"{prefix}a")
    assert code(refused) == (403, "RequestTimeTooSkewed")
    with pytest.raises(ClientError) as refused:
        seaweed.client("job").head_object(Bucket=RESULTS, Key=f"{prefix}a")
    assert code(refused) == (403, "403")


def test_what_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no store tests are skipped; they fail where there must be one."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    reason = unavailable()
    assert reason is not None
    monkeypatch.setenv("PAREDOWN_REQUIRE", "codecs")
    with pytest.raises(pytest.skip.Exception, match=reason):
        lacking("s3", reason)
    monkeypatch.setenv("PAREDOWN_REQUIRE", "codecs,s3")
    with pytest.raises(pytest.fail.Exception, match=reason):
        lacking("s3", reason)


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
