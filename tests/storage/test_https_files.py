"""The web server of the tests: whole files and ranges over https, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import MaxRetryError, ProtocolError

from tests.support.certificates import Certificates
from tests.support.faults import Fault, Faults, reset, status, truncate
from tests.support.https_files import https_files

BODY = bytes(range(256)) * 4000


@pytest.fixture
def files(certificates: Certificates, tmp_path: Path) -> Iterator[Faults]:
    """A server of one file."""
    (tmp_path / "a b.h5").write_bytes(BODY)
    with https_files(tmp_path, certificates) as served:
        yield served


@pytest.fixture
def get(files: Faults, certificates: Certificates) -> Any:
    """Get a path, with headers, without retries."""
    pool = urllib3.PoolManager(ca_certs=str(certificates.authority), retries=False)

    def get(path: str = "/a%20b.h5", **options: Any) -> urllib3.BaseHTTPResponse:
        return pool.request("GET", files.url + path, **options)

    return get


def test_files_and_ranges(get: Any, tmp_path: Path) -> None:
    """A file, a part of it, and all of it where it is not the same file any more."""
    whole = get()
    etag = whole.headers["ETag"]
    assert (whole.status, whole.data) == (200, BODY)
    part = get(headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (part.status, part.data) == (206, BODY[1000:])
    assert part.headers["Content-Range"] == f"bytes 1000-{len(BODY) - 1}/{len(BODY)}"
    assert get(headers={"Range": f"bytes={len(BODY)}-"}).status == 416
    (tmp_path / "a b.h5").write_bytes(b"another")
    changed = get(headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (changed.status, changed.data) == (200, b"another")


def test_nothing_outside_of_the_folder(get: Any, tmp_path: Path) -> None:
    """What is not there, and what is elsewhere, is not found."""
    (tmp_path.parent / "secret").write_text("secret")
    for path in ("/none", "/", "/%2e%2e/secret"):
        assert get(path).status == 404


@pytest.mark.parametrize("fault", [truncate(), reset("response")])
def test_broken_off(get: Any, files: Faults, fault: Fault) -> None:
    """A body breaks off once, and the rest can be had."""
    files.add(fault, first=1)
    response = get(preload_content=False)
    assert response.read(1000) == BODY[:1000]
    with pytest.raises(ProtocolError):
        response.read()
    assert get(headers={"Range": "bytes=1000-"}).data == BODY[1000:]


def test_answers_of_other_kinds(get: Any, files: Faults) -> None:
    """A reset at once, a 503 and then the file, and a redirect to it."""
    files.add(reset(), nth=1)
    files.add(status(503, Retry_After="0"), nth=2)
    files.add(status(302, Location="/a%20b.h5"), match="/elsewhere")
    with pytest.raises((ProtocolError, urllib3.exceptions.SSLError)):
        get()
    assert get().status == 503
    assert get().data == BODY
    assert get("/elsewhere", redirect=False).headers["Location"] == "/a%20b.h5"
    assert get("/elsewhere", retries=urllib3.Retry(3)).data == BODY


def test_the_authority_must_be_known(files: Faults) -> None:
    """Who does not trust the tests' authority gets nothing."""
    with pytest.raises(MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib3.PoolManager(retries=urllib3.Retry(0)).request("GET", files.url)


def test_servers_without_etags_and_ranges(certificates: Certificates, tmp_path: Path) -> None:
    """Some servers give the whole file whatever is asked, and no ETag."""
    (tmp_path / "a").write_bytes(BODY)
    pool = urllib3.PoolManager(ca_certs=str(certificates.authority))
    with https_files(tmp_path, certificates, etags=False, ranges=False) as served:
        response = pool.request("GET", f"{served.url}/a", headers={"Range": "bytes=5-"})
    assert (response.status, response.data) == (200, BODY)
    assert "ETag" not in response.headers
