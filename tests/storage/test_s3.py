"""Results in a bucket: whole and right, or not there, whatever goes wrong while they are put."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, ManifestError, ParedownError, StorageError
from job.storage.backend import RUN_ID_KEY
from job.storage.destination import Destination, Publication
from job.storage.place import Place
from job.storage.s3 import S3
from tests.storage.conftest import Behind
from tests.support.faults import Call, hook, lose_response, reset, status
from tests.support.identities import RESULTS
from tests.support.rare import marked

RUN = "f" * 64
MEDIA = "application/x-test"
FILES = {"a.h5": os.urandom(1 << 20) * 9, "a.h5.zip": b"zip" * 1000, "result.json": b'{"run": 1}'}


class Publisher:
    """A run that publishes."""

    def __init__(self, behind: Behind, prefix: str, folder: Path, **config: Any) -> None:
        self.behind = behind
        self.prefix = f"{prefix}out/"
        self.store = behind.store(**config)
        self.destination = Destination(
            Place("s3", self.prefix, RESULTS), S3(self.store), self.store.warn
        )
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        self.reported = 0

    def publish(
        self, stands: Callable[[bytes], bool] = lambda _: False, replaced: list[str] | None = None
    ) -> bytes:
        """Put the files there."""
        publication = Publication(
            self.folder, dict.fromkeys(FILES, MEDIA), replaced or [], {RUN_ID_KEY: RUN}, stands
        )
        self.reported = 0

        def advance(more: int) -> None:
            self.reported += more

        return self.destination.publish(publication, advance)

    def assert_whole(self) -> None:
        """Every object has its bytes, and a checksum that is theirs; nothing is pending."""
        client = self.behind.seaweed.client()
        there = self.behind.seaweed.listing(RESULTS, self.prefix)
        assert [it.key.removeprefix(self.prefix) for it in there] == sorted(FILES)
        for it in there:
            name = it.key.removeprefix(self.prefix)
            assert client.get_object(Bucket=RESULTS, Key=it.key)["Body"].read() == FILES[name]
            sha256 = hashlib.sha256(FILES[name])
            assert it.metadata == {RUN_ID_KEY: RUN, "sha256": sha256.hexdigest()}
            if it.size < 8 << 20:
                assert it.sha256 == base64.b64encode(sha256.digest()).decode()
            else:
                assert str(it.sha256).endswith("-2")
        assert self.behind.seaweed.uploads(RESULTS, self.prefix) == []

    def put(self, name: str, content: bytes = b"mine", **options: Any) -> None:
        """Somebody else puts an object."""
        client = self.behind.seaweed.client()
        client.put_object(Bucket=RESULTS, Key=f"{self.prefix}{name}", Body=content, **options)


@pytest.fixture
def publisher(near: Behind, prefix: str, tmp_path: Path) -> Publisher:
    return Publisher(near, prefix, tmp_path)


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_files_are_published(behind: Behind, prefix: str, tmp_path: Path, checksums: str) -> None:
    """Over http and https, with checksums and for stores that refuse them; once is enough."""
    it = Publisher(behind, prefix, tmp_path, checksums=checksums)
    assert it.publish() == FILES["result.json"]
    assert it.reported == sum(map(len, FILES.values())) - len(FILES["result.json"])
    assert behind.proxy.seen("PUT")[-1].path.endswith("result.json")
    if checksums == "when_supported":
        it.assert_whole()
    client = behind.seaweed.client()
    for name, content in FILES.items():
        answer = client.get_object(Bucket=RESULTS, Key=f"{it.prefix}{name}")
        assert answer["Body"].read() == content
        assert "aws-chunked" not in answer.get("ContentEncoding", "")
        assert answer["ContentType"] == MEDIA
    behind.proxy.calls.clear()
    assert it.publish(stands=lambda found: found == FILES["result.json"]) == FILES["result.json"]
    assert behind.proxy.seen("PUT") == []
    assert (it.store.retries, behind.warnings) == ({}, [])


PUTS = {
    "plain": ("PUT", r"/a\.h5\.zip"),
    "part": ("PUT", r"partNumber=1"),
    "begin": ("POST", r"\?uploads"),
    "complete": ("POST", r"uploadId="),
    "result": ("PUT", r"/result\.json"),
}


ONCE = {
    "lost answer": lose_response(),
    "reset": reset(),
    "reset midway": reset("request"),
    "slow down": status(503, "SlowDown"),
    "damaged": status(400, "BadDigest"),
}


# Every request is lost, and of an upload's part and of the result goes wrong whatever can.
@pytest.mark.parametrize(
    ("fault", "which"),
    [
        (name, which)
        if name == "lost answer" or which == "part" or (name, which) == ("damaged", "result")
        else marked(name, which)
        for name in ONCE
        for which in PUTS
    ],
)
def test_writes_that_go_wrong_once(publisher: Publisher, fault: str, which: str) -> None:
    """All is there in the end, and what was sent again is counted."""
    method, match = PUTS[which]
    publisher.behind.proxy.add(ONCE[fault], method=method, match=match, first=1)
    publisher.destination.prepare(RUN, [])
    if fault == "damaged" and which == "result":
        with pytest.raises(StorageError, match="BadDigest"):
            publisher.publish()
        return
    assert publisher.publish() == FILES["result.json"]
    # An answer to the begin of an upload may be lost, and the upload stays.
    publisher.destination.forget()
    publisher.assert_whole()
    assert sum(publisher.store.retries.values()) == 1
    assert len(publisher.behind.warnings) == 1


@pytest.mark.parametrize(
    ("number", "code", "exit_code", "says"),
    [
        (503, "SlowDown", 6, "SlowDown"),
        (400, "ExpiredToken", 3, "renew them"),
        (403, "RequestTimeTooSkewed", 3, "clock"),
        (403, "AccessDenied", 3, "credentials"),
        (404, "NoSuchBucket", 3, "no bucket results"),
    ],
)
def test_writes_that_never_succeed(
    publisher: Publisher, number: int, code: str, exit_code: int, says: str
) -> None:
    """The operation, the place and what to do are reported, and there is no result."""
    publisher.behind.proxy.add(status(number, code), method="PUT")
    with pytest.raises(ParedownError) as caught:
        publisher.publish()
    assert caught.value.exit_code == exit_code
    assert says in str(caught.value)
    assert "UploadPart" in caught.value.what
    assert "s3://results/" in caught.value.where
    assert publisher.behind.seaweed.listing(RESULTS, publisher.prefix) == []


def test_another_result_appears(publisher: Publisher) -> None:
    """Between the last file and ours: another run's is refused, and stays as it is."""

    def put(_: Call) -> None:
        publisher.put("result.json", b"theirs")

    def refuse(found: bytes) -> bool:
        raise ManifestError(found.decode())

    publisher.behind.proxy.add(hook(put), method="PUT", match="result.json", first=1)
    with pytest.raises(ManifestError, match="theirs"):
        publisher.publish(refuse)
    assert publisher.destination.read("result.json") == b"theirs"


def test_a_result_as_good_appears(publisher: Publisher) -> None:
    """The same run's, from elsewhere: it stands, and is what we publish."""
    publisher.behind.proxy.add(
        hook(lambda _: publisher.put("result.json", b"as good")), method="PUT", match="result.json"
    )
    assert publisher.publish(lambda found: found == b"as good") == b"as good"


def test_a_result_appears_that_is_not_whole(publisher: Publisher) -> None:
    """It names files that are not there: ours replaces it."""
    publisher.behind.proxy.add(
        hook(lambda _: publisher.put("result.json", b"half")),
        method="PUT",
        match="result.json",
        first=1,
    )
    assert publisher.publish() == FILES["result.json"]
    publisher.assert_whole()


def test_a_file_is_replaced_meanwhile(publisher: Publisher) -> None:
    """By somebody, just before the result is there: it is put again."""
    publisher.behind.proxy.add(
        hook(lambda _: publisher.put("a.h5.zip", FILES["a.h5.zip"][::-1])),
        method="PUT",
        match="result.json",
        first=1,
    )
    assert publisher.publish() == FILES["result.json"]
    publisher.assert_whole()


def test_an_old_result_goes_first(publisher: Publisher) -> None:
    """And then its files, before one of ours is put."""
    for name in ("old.tflite", "a.h5.zip", "notes.txt", "result.json"):
        publisher.put(name)
    publisher.behind.proxy.calls.clear()
    publisher.publish(replaced=["old.tflite", "a.h5.zip"])
    writes = [it for it in publisher.behind.proxy.calls if it.method in ("PUT", "POST", "DELETE")]
    assert [it.path.rpartition("/")[2] for it in writes[:3] if it.method == "DELETE"] == [
        *("result.json", "old.tflite", "a.h5.zip")
    ]
    publisher.behind.seaweed.client().delete_object(
        Bucket=RESULTS, Key=f"{publisher.prefix}notes.txt"
    )
    publisher.assert_whole()


@pytest.mark.parametrize("replaced", [None, ["a.h5", "a.h5.zip"]])
def test_several_publish_at_once(
    near: Behind, prefix: str, tmp_path: Path, replaced: list[str] | None
) -> None:
    """Four runs of the same manifest, over an old result too: one whole result, and no error."""
    runs = [Publisher(near, prefix, tmp_path / str(n)) for n in range(4)]
    if replaced:
        runs[0].put("result.json", b"old")
    good = FILES["result.json"]

    def publish(publisher: Publisher) -> bytes:
        publisher.destination.prepare(RUN, [])
        content = publisher.publish(lambda found: found == good, replaced)
        publisher.destination.forget()
        return content

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(publish, runs)) == [good] * 4
    runs[0].destination.forget()
    runs[0].assert_whole()


def test_names_that_exist(publisher: Publisher) -> None:
    """Objects that paredown did not create are refused, in one listing; a killed run's are not."""
    publisher.put("a.h5", b"mine")
    publisher.put("a.h5.zip", b"killed", Metadata={RUN_ID_KEY: "0" * 64})
    publisher.put("deeper/result.json", b"mine")
    publisher.behind.proxy.calls.clear()
    with pytest.raises(ManifestError, match=r"overwritten: a\.h5\."):
        publisher.destination.prepare(RUN, list(FILES))
    assert len(publisher.behind.proxy.seen("GET")) == 1
    assert publisher.behind.proxy.seen("PUT") == []
    publisher.destination.prepare(RUN, ["a.h5.zip", "result.json"])


def test_what_was_broken_off_goes(publisher: Publisher) -> None:
    """Our uploads in parts, and what was kept; other uploads stay."""
    client = publisher.behind.seaweed.client()
    publisher.publish()
    publisher.destination.prepare(RUN, [])
    for name in ("a.h5", f".resume/{RUN}/state", "mine", "deeper/a.h5"):
        client.create_multipart_upload(Bucket=RESULTS, Key=f"{publisher.prefix}{name}")
    publisher.destination.forget()
    left = publisher.behind.seaweed.uploads(RESULTS, publisher.prefix)
    assert {it["Key"].removeprefix(publisher.prefix) for it in left} == {"mine", "deeper/a.h5"}
    for it in left:
        client.abort_multipart_upload(Bucket=RESULTS, Key=it["Key"], UploadId=it["UploadId"])
    publisher.assert_whole()


@pytest.mark.parametrize(
    ("method", "match"), [("DELETE", ""), ("GET", r"\?.*uploads"), ("GET", "list-type")]
)
@pytest.mark.parametrize("number", [403, 503])
def test_what_can_not_be_deleted_is_reported(
    publisher: Publisher, method: str, match: str, number: int
) -> None:
    """The results are there, so it is a warning."""
    publisher.publish()
    publisher.destination.prepare(RUN, [])
    publisher.behind.proxy.add(status(number, "AccessDenied"), method=method, match=match)
    publisher.destination.forget()
    assert "could not be removed" in publisher.behind.warnings[-1]


def test_a_bucket_that_is_not_there(near: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and the operation are reported, whatever is asked first."""
    for name, it in near.seaweed.environment("rw").items():
        monkeypatch.setenv(name, it)
    store = near.store()
    destination = Destination(Place("s3", "out", "no-such-bucket"), S3(store), store.warn)
    asked: list[Callable[[], object]] = [
        lambda: destination.read("result.json"),
        lambda: destination.prepare(RUN, []),
        lambda: destination.prepare(RUN, ["a"]),
        lambda: S3(store).stat(Place("s3", "model.h5", "no-such-bucket"), "Reading"),
    ]
    for ask in asked:
        with pytest.raises(InputError, match=r"no bucket no-such-bucket \(\w+\)"):
            ask()
