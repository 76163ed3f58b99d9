"""What comes from a bucket is what lies there, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, StorageError
from job.manifest.storage import StorageConfig
from job.storage import s3_read, s3_source
from job.storage.found import Found, Item
from job.storage.place import Place
from job.storage.stores import Stores
from tests.storage.conftest import Behind
from tests.support.faults import Call, Fault, delay, flip, hook, reset, status, truncate
from tests.support.identities import MODELS, RESULTS

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
    item = s3_read.look(store, place, READING)
    assert item is not None
    told: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        done = s3_read.download(store, pool, item, folder / "file", told.append)
    assert sum(told) == item.bytes
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
    ids=lambda it: str(len(it)) if isinstance(it, bytes) else str(it),
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
        assert done.path.read_bytes() == content
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
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_breaks_is_mended(
    behind: Behind, prefix: str, tmp_path: Path, fault: Fault, first: int, content: bytes
) -> None:
    """The object comes whole; each request that was sent again is counted, and said once."""
    place = put(behind, f"{prefix}a", content, ChecksumAlgorithm="SHA256")
    behind.proxy.add(fault, method="GET", first=first)
    done, retries = download(behind, place, tmp_path)
    assert done.path.read_bytes() == content
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


def test_a_store_that_never_mends(near: Behind, prefix: str, tmp_path: Path) -> None:
    """It is asked four times, and said to be unavailable."""
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
    found = s3_source.find_data(place, place, stores, config)
    fetched = s3_source.fetch(found, folder, stores, config, lambda _: None)
    return fetched, stores.retries


def test_many_at_once(near: Behind, prefix: str, tmp_path: Path) -> None:
    """Large ones and small ones, in parallel: none is taken for asked again."""
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
def test_keys_that_can_not_be_files(names: list[str], tmp_path: Path) -> None:
    """They are refused before the first request, and nothing is written anywhere."""
    items = [Item(name, Place("s3", f"data/{name}", MODELS), 1) for name in names]
    folder = tmp_path / "inputs"
    folder.mkdir()
    found = Found(Place("s3", "data/", MODELS), tuple(items))
    with pytest.raises(InputError, match=r"can't have the name|no disk can hold"):
        s3_source.fetch(found, folder, Stores(print), StorageConfig(), print)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("fault", [reset("response"), truncate(), flip(), status(503, "SlowDown")])
def test_small_objects_are_read_whole(behind: Behind, prefix: str, fault: Fault) -> None:
    """A manifest or a result, which is read into memory."""
    place = put(behind, f"{prefix}a", SMALL, ChecksumAlgorithm="SHA256")
    behind.proxy.add(fault, method="GET", first=1)
    store = behind.store()
    assert s3_read.read(store, place, len(SMALL), READING) == SMALL
    assert store.retries == {"GetObject": 1}
    with pytest.raises(InputError, match="more than the 9 that it may have"):
        s3_read.read(store, place, 9, READING)
    assert s3_read.read(store, place.child("none"), 9, READING) is None
