"""The proxy before the store does harm as it is told, and none else."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from tests.support.certificates import Certificates
from tests.support.faults import (
    Call,
    Fault,
    Faults,
    delay,
    flip,
    hook,
    lose_response,
    reset,
    status,
    truncate,
)
from tests.support.identities import RESULTS
from tests.support.runs import is_gone
from tests.support.seaweed import Seaweed

BODY = bytes(range(256)) * 4000
ONCE = {"total_max_attempts": 1}


@pytest.fixture(params=[False, True], ids=["http", "https"])
def proxy(
    request: pytest.FixtureRequest, seaweed: Seaweed, certificates: Certificates
) -> Iterator[Faults]:
    """The proxy, over http and https: bodies are sent otherwise, with trailing checksums."""
    with Faults(seaweed.url(), certificates if request.param else None) as faults:
        yield faults


@pytest.fixture
def client(seaweed: Seaweed, proxy: Faults) -> Any:
    """A client that tries once."""
    https = proxy.certificates is not None
    return seaweed.client("job", endpoint=proxy.url, https=https, retries=ONCE)


@pytest.fixture
def where(prefix: str) -> dict[str, str]:
    """An object's place."""
    return {"Bucket": RESULTS, "Key": f"{prefix}a b+ü"}


def test_nothing_goes_wrong(client: Any, proxy: Faults, where: Any, tmp_path: Path) -> None:
    """Without a fault bodies pass in both directions, from files and from memory; it is noted."""
    client.put_object(**where, Body=BODY)
    (tmp_path / "body").write_bytes(BODY)
    with (tmp_path / "body").open("rb") as file:
        client.put_object(**where, Body=file)
    assert client.get_object(**where)["Body"].read() == BODY
    assert client.head_object(**where)["ContentLength"] == len(BODY)
    client.delete_object(**where)
    assert [(call.method, call.status, call.stored) for call in proxy.calls] == [
        ("PUT", 200, 200),
        ("PUT", 200, 200),
        ("GET", 200, 200),
        ("HEAD", 200, 200),
        ("DELETE", 204, 204),
    ]
    assert "Authorization" in proxy.calls[0].headers


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (503, "SlowDown"),
        (403, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (404, "NoSuchBucket"),
        (501, "NotImplemented"),
    ],
)
def test_errors(client: Any, proxy: Faults, where: Any, number: int, code: str) -> None:
    """The error comes, for a request with a body, without one, and a HEAD; nothing is stored."""
    proxy.add(status(number, code, Retry_After="1"), match=r"/results/")
    calls: list[Callable[[], Any]] = [
        lambda: client.put_object(**where, Body=BODY),
        lambda: client.get_object(**where),
        lambda: client.head_object(**where),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refused:
            call()
        response = refused.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == number
        assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
        head = proxy.calls[-1].method == "HEAD"
        assert response["Error"]["Code"] == (str(number) if head else code)
    assert [call.stored for call in proxy.calls] == [None, None, None]


@pytest.mark.parametrize(
    ("fault", "stored"), [(reset(), None), (reset("request"), None), (lose_response(), 200)]
)
def test_lost_writes(
    client: Any, proxy: Faults, seaweed: Seaweed, where: Any, fault: Fault, stored: int | None
) -> None:
    """A write that breaks off has not happened; one whose answer is lost has."""
    proxy.add(fault, method="PUT")
    # Python tells a reset within TLS as a TLS error.
    with pytest.raises((ConnectionClosedError, SSLError)):
        client.put_object(**where, Body=BODY)
    assert [(call.status, call.stored) for call in proxy.calls] == [(None, stored)]
    assert len(seaweed.listing(**_under(where))) == (stored is not None)


@pytest.mark.parametrize("fault", [reset("response"), truncate()])
def test_broken_reads(client: Any, proxy: Faults, where: Any, fault: Fault) -> None:
    """Half of the body comes, as if all of it would."""
    client.put_object(**where, Body=BODY)
    proxy.add(fault, method="GET")
    answer = client.get_object(**where)
    assert answer["ContentLength"] == len(BODY)
    assert answer["Body"].read(1000) == BODY[:1000]
    with pytest.raises(ResponseStreamingError):
        answer["Body"].read()


def test_damaged_reads(client: Any, proxy: Faults, where: Any) -> None:
    """One bit of the body is another."""
    client.put_object(**where, Body=BODY)
    proxy.add(flip(), method="GET")
    with pytest.raises(FlexibleChecksumError):
        client.get_object(**where)["Body"].read()
    ranged = client.get_object(**where, Range="bytes=0-9")["Body"].read()
    assert ranged == bytes([0, 1, 2, 3, 4, 5 ^ 1, 6, 7, 8, 9])


def test_delays(seaweed: Seaweed, proxy: Faults, where: Any) -> None:
    """A request that waits runs into the client's time-outs, and the next one does not.

    Sending is under the time-out for connecting, and so is the wait for "100 Continue" on a
    fresh connection within TLS; the wait for the answer is under the one for reading.
    """
    proxy.add(delay(5), method="PUT", first=1)
    https = proxy.certificates is not None
    limits = {"read_timeout": 0.5, "connect_timeout": 0.5}
    client = seaweed.client("job", endpoint=proxy.url, https=https, retries=ONCE, **limits)
    started = time.monotonic()
    with pytest.raises((ReadTimeoutError, ConnectionClosedError)):
        client.put_object(**where, Body=b"1")
    assert time.monotonic() - started < 4
    client.put_object(**where, Body=b"1")


def test_faults_are_counted(client: Any, proxy: Faults, where: Any) -> None:
    """A fault is for the first few requests, or for one, by method and by path."""
    proxy.add(status(503, "SlowDown"), method="GET", first=2)
    client.put_object(**where, Body=b"1")
    for found in (503, 503, 200, 200):
        with contextlib.suppress(ClientError):
            client.get_object(**where)
        assert proxy.calls[-1].status == found
    proxy.clear()
    proxy.add(status(404, "NoSuchKey"), match=lambda target: "tagging" in target, nth=2)
    for found in (200, 404, 200):
        with contextlib.suppress(ClientError):
            client.get_object_tagging(**where)
        assert proxy.calls[-1].status == found
    assert len(proxy.seen("GET", "tagging")) == 3
    assert proxy.seen("PUT") == []


def test_hooks(client: Any, proxy: Faults, where: Any, seaweed: Seaweed) -> None:
    """A hook is called before or after the store is; False resets the connection there."""
    seen: list[tuple[int | None, int]] = []

    def note(call: Call) -> bool:
        seen.append((call.stored, len(seaweed.listing(**_under(where)))))
        return False

    proxy.add(hook(note), first=1)
    proxy.add(hook(note, after=True))
    for _ in range(2):
        with pytest.raises((ConnectionClosedError, SSLError)):
            client.put_object(**where, Body=b"1")
    assert seen == [(None, 0), (200, 1)]


def test_a_client_that_is_killed(proxy: Faults, where: Any, seaweed: Seaweed) -> None:
    """A process that a hook kills before its body has left has stored nothing."""
    program = (
        "import boto3, sys\n"
        "client = boto3.client('s3')\n"
        "client.put_object(Bucket=sys.argv[1], Key=sys.argv[2], Body=bytes(64 << 20))\n"
    )
    https = proxy.certificates is not None
    process = subprocess.Popen(
        [sys.executable, "-c", program, *where.values()],
        env=seaweed.environment("job", https=https, endpoint=proxy.url),
    )

    def kill(_: Call) -> None:
        process.kill()
        assert is_gone(process.pid)

    proxy.add(hook(kill))
    assert process.wait(60) == -9
    assert seaweed.listing(**_under(where)) == []
    assert [call.stored for call in proxy.calls] == [None]


def test_a_store_that_is_down(certificates: Certificates, tmp_path: Path) -> None:
    """While the store is stopped connections are reset; then all is as before."""
    with Seaweed(tmp_path, certificates) as store, Faults(store.url()) as proxy:
        client = store.client(endpoint=proxy.url, retries=ONCE)
        client.put_object(Bucket=RESULTS, Key="a", Body=BODY)
        store.stop()
        with pytest.raises(ConnectionClosedError):
            client.get_object(Bucket=RESULTS, Key="a")
        store.start()
        assert client.get_object(Bucket=RESULTS, Key="a")["Body"].read() == BODY


def _under(where: dict[str, str]) -> dict[str, str]:
    return {"bucket": where["Bucket"], "prefix": where["Key"]}
