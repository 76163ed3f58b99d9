"""A download is the object, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, StorageError
from job.manifest.storage import StorageConfig
from job.storage.backend import Found, Item, Stores
from job.storage.find import fetch, find
from job.storage.place import Place
from job.storage.s3 import S3
from job.storage.s3_transfer import ahead
from tests.storage.conftest import Behind
from tests.support.faults import Call, Fault, delay, flip, hook, reset, status, truncate
from tests.support.identities import MODELS, RESULTS
from tests.support.rare import few

SMALL = bytes(range(256)) * 200
LARGE = os.urandom(1 << 20) * 10
READING = "Reading"


def put(behind: Behind, key: str, content: bytes, **options: Any) -> Place:
    """Put an object, large ones in parts, and say where it is."""
    import io

    client = behind.seaweed.client()
    client.upload_fileobj(io.BytesIO(content), RESULTS, key, ExtraArgs=options)
    return Place("s3", key, RESULTS)


def download(behind: Behind, place: Place, folder: Path, **config: Any) -> tuple[Any, Any]:
    """Download an object; what it is known by, and how often it was asked for again."""
    store = behind.store(**config)
    backend = S3(store)
    item = backend.stat(place, READING)
    assert item is not None
    reported: list[int] = []
    (done,) = backend.download({item: folder / "file"}, reported.append)
    assert sum(reported) == item.bytes
    assert [path.name for path in folder.iterdir()] == ["file"]
    return done, dict(store.retries)


@pytest.mark.parametrize(
    ("content", "algorithm"),
    [
        (b"", "SHA256"),
        *((SMALL, it) for it in ("SHA256", "SHA1", "CRC32", None)),
        (LARGE[: 8 << 20], "CRC32"),
        (LARGE, "SHA256"),
        (LARGE, None),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else str(value),
)
def test_objects_come_whole(
    near: Behind, prefix: str, tmp_path: Path, content: bytes, algorithm: str | None
) -> None:
    """Nothing goes wrong: no object is asked for again, and none is verified by its size alone."""
    options = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    place = put(near, f"{prefix}a", content, **options)
    for checksums in ("when_supported", "when_required"):
        folder = tmp_path / checksums
        folder.mkdir()
        done, retries = download(near, place, folder, checksums=checksums)
        assert (folder / "file").read_bytes() == content
        assert (done.bytes, done.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert retries == {}
        assert "size alone" not in done.verified
        assert "second" not in done.verified
    assert near.warnings == []


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (status(503, "SlowDown"), 2),
        (status(500, "InternalError"), 2),
        (reset(), 2),
        (reset("response"), 1),
        (truncate(), 1),
        (flip(), 1),
        (delay(0.5), 3),
    ],
    ids=["slow down", "internal", "reset", "reset midway", "truncated", "flipped", "late"],
)
@pytest.mark.parametrize("content", few([LARGE, SMALL]), ids=lambda it: f"{len(it)} bytes")
def test_requests_that_fail_are_sent_again(
    behind: Behind, prefix: str, tmp_path: Path, fault: Fault, first: int, content: bytes
) -> None:
    """The object comes whole; each retry is counted, and the first is reported."""
    place = put(behind, f"{prefix}a", content, ChecksumAlgorithm="SHA256")
    behind.proxy.add(fault, method="GET", first=first)
    _, retries = download(behind, place, tmp_path)
    assert (tmp_path / "file").read_bytes() == content
    if fault.delay:
        assert (retries, behind.warnings) == ({}, [])
    else:
        assert retries == {"GetObject": first}
        (warning,) = behind.warnings
        assert "GetObject" in warning


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_always_damaged_is_refused(
    behind: Behind, prefix: str, tmp_path: Path, content: bytes
) -> None:
    """The same damage twice is the store's; nothing is left that looks like the object."""
    place = put(behind, f"{prefix}a", content, ChecksumAlgorithm="SHA256")
    behind.proxy.add(flip(), method="GET")
    with pytest.raises(InputError, match="damaged in the store") as caught:
        download(behind, place, tmp_path)
    assert caught.value.where == str(place)


def test_a_store_that_always_fails(near: Behind, prefix: str, tmp_path: Path) -> None:
    """It is asked four times, and reported as unavailable."""
    place = put(near, f"{prefix}a", SMALL)
    near.proxy.add(status(503, "SlowDown"), method="GET")
    with pytest.raises(StorageError, match="SlowDown") as caught:
        download(near, place, tmp_path)
    assert caught.value.exit_code == 6
    assert len(near.proxy.seen("GET")) == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_changes_meanwhile_is_refused(
    near: Behind, prefix: str, tmp_path: Path, content: bytes
) -> None:
    """After it was looked at; a range of one and another's would be neither."""
    place = put(near, f"{prefix}a", content)

    def change(_: Call) -> None:
        put(near, f"{prefix}a", content[::-1])

    near.proxy.add(hook(change), method="GET", first=1)
    with pytest.raises(InputError, match="changed while the job ran") as caught:
        download(near, place, tmp_path)
    assert caught.value.where == str(place)
    assert list(tmp_path.iterdir()) == []


def find_and_fetch(behind: Behind, place: Place, folder: Path) -> Any:
    """A data set's objects, and the requests that were sent again."""
    stores, config = Stores(behind.warnings.append), StorageConfig()
    backend = stores.reader(place, config)
    found = find(place, place, "*.npz", backend, READING)
    fetched = fetch(found, folder, backend, lambda _: None)
    return fetched, stores.retries


def test_many_at_once(near: Behind, prefix: str, tmp_path: Path) -> None:
    """Large ones and small ones, in parallel: none is counted as a retry."""
    contents = {f"{n}.npz": (LARGE if n % 4 else SMALL) + bytes([n]) for n in range(5)}
    for name, content in contents.items():
        put(near, f"{prefix}{name}", content)
    fetched, retries = find_and_fetch(near, Place("s3", prefix, RESULTS), tmp_path)
    assert {name: path.read_bytes() for name, path in fetched.paths.items()} == contents
    assert (retries, near.warnings) == ({}, [])


def test_one_of_many_fails(near: Behind, prefix: str, tmp_path: Path) -> None:
    """The others are not waited for."""
    for n in range(20):
        put(near, f"{prefix}{n}.npz", SMALL)
    near.proxy.add(status(403, "AccessDenied"), method="GET", match=r"/0\.npz")
    near.proxy.add(delay(2), method="GET", match=r"/[0-9]+\.npz")
    with pytest.raises(InputError, match="access denied"):
        find_and_fetch(near, Place("s3", prefix, RESULTS), tmp_path)
    assert len(near.proxy.seen("GET", r"/[2-9]\.npz")) == 0


@pytest.mark.parametrize(
    "names",
    [["../a.npz"], ["a//b.npz"], ["/a.npz"], ["a/./b.npz"], ["a.npz", "a.npz/b.npz"]],
    ids=str,
)
def test_keys_that_can_not_be_files(near: Behind, names: list[str], tmp_path: Path) -> None:
    """They are refused before the first request, and nothing is written anywhere."""
    items = [Item(name, Place("s3", f"data/{name}", MODELS), 1) for name in names]
    folder = tmp_path / "inputs"
    folder.mkdir()
    found = Found(Place("s3", "data/", MODELS), tuple(items))
    with pytest.raises(InputError, match=r"can't have the name|no disk can hold"):
        fetch(found, folder, S3(near.store()), print)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("fault", [reset("response"), truncate(), flip(), status(503, "SlowDown")])
def test_small_objects_are_read_whole(behind: Behind, prefix: str, fault: Fault) -> None:
    """A manifest or a result, which is read into memory."""
    place = put(behind, f"{prefix}a", SMALL, ChecksumAlgorithm="SHA256")
    behind.proxy.add(fault, method="GET", first=1)
    store = behind.store()
    backend = S3(store)
    assert backend.read(place, len(SMALL), READING) == SMALL
    assert store.retries == {"GetObject": 1}
    with pytest.raises(InputError, match="more than the 9 that it may have"):
        backend.read(place, 9, READING)
    assert backend.read(place.child("none"), 9, READING) is None


def test_results_come_in_order_whatever_is_done_first() -> None:
    """The first is done last."""
    second = threading.Event()

    def do(number: int) -> int:
        if number == 0:
            assert second.wait(10)
        else:
            second.set()
        return number * number

    with ThreadPoolExecutor(3) as pool:
        assert list(ahead(pool, do, range(20), 3)) == [number * number for number in range(20)]


def test_no_more_is_done_than_may_wait() -> None:
    """Whatever the pool could do."""
    begun: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        results = ahead(pool, begun.append, range(20), 4)
        next(results)
        results.close()
    assert set(begun) <= {0, 1, 2, 3}


def test_after_an_error_nothing_new_begins() -> None:
    """What waits is not done."""
    begun: list[int] = []

    def do(number: int) -> None:
        begun.append(number)
        raise OSError(number)

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="0"):
        list(ahead(pool, do, range(20), 4))
    assert len(begun) < 4
