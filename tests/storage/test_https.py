"""A file on a web server is downloaded whole, or the reason is reported."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from job.errors import InputError, ParedownError, StorageError
from job.manifest.storage import StorageConfig
from job.storage import find, retry
from job.storage.backend import Stores
from job.storage.https import Https, _pool
from job.storage.place import Place, find_place, here
from tests.support.certificates import Certificates
from tests.support.faults import Call, Fault, Faults, hook, reset, status, truncate
from tests.support.https_files import https_files

BODY = os.urandom(3 << 20)


@pytest.fixture
def files(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Faults]:
    """A server of one file, whose authority the environment names; pauses are short."""
    monkeypatch.setattr(retry, "WEB_PAUSE_S", 0.00001)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    served = tmp_path / "served"
    served.mkdir()
    (served / "a b.h5").write_bytes(BODY)
    with https_files(served, certificates) as front:
        yield front


def place_of(files: Faults, path: str = "a%20b.h5?version=1") -> Place:
    """A file's place."""
    return find_place(f"{files.url}/{path}", here())


def fetch(files: Faults, folder: Path, meanwhile: Callable[[], Any] = lambda: None) -> Any:
    """Find and fetch the file; what is here, and how often was asked again."""
    warnings: list[str] = []
    stores = Stores(warnings.append)
    backend, place = Https(StorageConfig(), stores), place_of(files)
    found = find.find(place, place, None, backend, "Reading")
    assert found.bytes == len(BODY)
    meanwhile()
    (folder / "inputs").mkdir()
    reported: list[int] = []
    fetched = find.fetch(found, folder / "inputs", backend, reported.append)
    assert sum(reported) == len(BODY)
    assert len(warnings) == bool(stores.retries)
    return fetched, stores.retries


def read(place: Place, limit: int, config: StorageConfig | None = None) -> bytes:
    """The content of a small file."""
    return Https(config or StorageConfig(), Stores(print)).read(place, limit, "Reading")


@pytest.mark.parametrize(
    ("proxy", "without", "used"),
    [
        ("http://proxy.example:3128", "", ("proxy.example", 3128, None)),
        ("proxy.example:3128", "", ("proxy.example", 3128, None)),
        ("http://me:p%40ss@proxy.example:1", "", ("proxy.example", 1, "Basic bWU6cEBzcw==")),
        ("http://proxy.example:3128", "files.example", None),
    ],
)
def test_a_proxy_is_used_as_the_environment_says(
    proxy: str,
    without: str,
    used: tuple[str, int, str | None] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its login, and not for hosts that need none."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, without)
    pool = _pool(StorageConfig(), "files.example:8443")
    found = getattr(pool, "proxy", None)
    login = (getattr(pool, "proxy_headers", None) or {}).get("proxy-authorization")
    assert (found and (found.host, found.port, login)) == used


def test_a_file_comes(files: Faults, tmp_path: Path) -> None:
    """Under a name of its own, with its digest; that it is not verified otherwise is reported."""
    fetched, retries = fetch(files, tmp_path)
    (path,) = fetched.paths.values()
    assert path.read_bytes() == BODY
    assert path == tmp_path / "inputs" / "a_20b.h5"
    assert fetched.digest == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert "pin its sha256" in fetched.verified
    assert fetched.mark is not None
    assert retries == {}
    assert files.seen("GET")[0].query == "version=1"


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (status(503), 2),
        (status(429), 1),
        (reset(), 2),
        (reset("response"), 1),
        (truncate(), 1),
        (truncate(), 4),
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_requests_that_fail_are_sent_again(
    files: Faults, tmp_path: Path, fault: Fault, first: int, method: str
) -> None:
    """Only the rest is asked for again, if it is still the same file."""
    files.add(fault, method=method, first=first)
    fetched, retries = fetch(files, tmp_path)
    (path,) = fetched.paths.values()
    assert path.read_bytes() == BODY
    assert hashlib.sha256(BODY).hexdigest() == fetched.digest[1]
    if method == "GET" or fault.status or fault.reset == "before":
        assert retries == {method: first}
    if fault.truncate and method == "GET":
        assert "If-Range" in files.seen("GET")[-1].headers


def test_a_file_that_changes_is_refused(files: Faults, tmp_path: Path) -> None:
    """After it was found, and in the midst of it."""
    path = tmp_path / "served" / "a b.h5"

    def change() -> None:
        path.write_bytes(BODY[::-1])

    with pytest.raises(InputError, match="changed"):
        fetch(files, tmp_path, change)
    (tmp_path / "inputs").rename(tmp_path / "before")
    files.add(truncate(), method="GET", first=1)
    files.add(hook(lambda _: change()), method="GET", nth=2)
    with pytest.raises(InputError, match="changed"):
        fetch(files, tmp_path)


@pytest.mark.parametrize(
    ("number", "exit_code", "says"),
    [(404, 3, "no such file"), (403, 3, "denied"), (401, 3, "denied"), (410, 3, "410")],
)
def test_refusals(files: Faults, number: int, exit_code: int, says: str) -> None:
    """They are not asked again."""
    files.add(status(number))
    with pytest.raises(ParedownError, match=says) as caught:
        Https(StorageConfig(), Stores(print)).stat(place_of(files), "Reading")
    assert caught.value.exit_code == exit_code
    assert len(files.calls) == 1


@pytest.mark.parametrize(
    ("asked", "most", "warns"), [(None, 14, 0), ("3", 3, 0), ("1", 1, 0), ("many", 14, 1)]
)
def test_a_server_that_always_fails(
    files: Faults, monkeypatch: pytest.MonkeyPatch, asked: str | None, most: int, warns: int
) -> None:
    """It is asked as often as a store is; an invalid number is reported once."""
    if asked is not None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
    files.add(status(503))
    warnings: list[str] = []
    stores = Stores(warnings.append)
    for _ in range(2):
        files.calls.clear()
        with pytest.raises(StorageError, match="503"):
            Https(StorageConfig(), stores).stat(place_of(files), "Reading")
        assert len(files.calls) == most
    assert len([it for it in warnings if "AWS_MAX_ATTEMPTS" in it]) == warns


def test_servers_that_send_on(files: Faults, tmp_path: Path) -> None:
    """To another place over https, and not to one without it, nor in circles."""
    path = f"{files.url}/a%20b.h5"
    files.add(status(302, Location=path), match="/elsewhere")
    place = place_of(files, "elsewhere")
    assert read(place, len(BODY)) == BODY
    files.add(status(302, Location="/circle"), match="/circle")
    files.add(status(302, Location=path.replace("https:", "http:")), match="/insecure")
    for name in ("circle", "insecure"):
        with pytest.raises(ParedownError):
            read(place_of(files, name), 9)


def test_an_authority_that_is_not_trusted(
    files: Faults, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is refused at once; the manifest may name it."""
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setattr(retry, "WEB_PAUSE_S", 60)
    with pytest.raises(InputError, match="certificate is not trusted"):
        read(place_of(files), 9)
    config = StorageConfig(ca_bundle=str(certificates.authority))
    assert read(place_of(files), len(BODY), config) == BODY
    config = StorageConfig(ca_bundle=str(tmp_path / "none"))
    with pytest.raises(InputError, match="Reading the certificates failed"):
        read(place_of(files), 9, config)


def test_small_files_are_read_to_a_limit(files: Faults) -> None:
    """A larger one is refused before all of it is here."""
    with pytest.raises(InputError, match="more than 9 bytes"):
        read(place_of(files), 9)


def test_a_server_without_etags_and_ranges(
    certificates: Certificates, files: Faults, tmp_path: Path
) -> None:
    """It is enough where nothing breaks off, and there is no mark to know the file by."""
    with https_files(tmp_path / "served", certificates, etags=False, ranges=False) as other:
        fetched, _ = fetch(other, tmp_path)
        assert fetched.mark is None
        other.add(truncate(), method="GET", first=1)
        (tmp_path / "inputs").rename(tmp_path / "before")
        with pytest.raises(InputError, match="can't send a part"):
            fetch(other, tmp_path)


def test_seen_calls_are_requests(files: Faults, tmp_path: Path) -> None:
    """One HEAD and one GET, where nothing breaks off."""
    fetch(files, tmp_path)
    seen: list[Call] = files.seen()
    assert [call.method for call in seen] == ["HEAD", "GET"]
