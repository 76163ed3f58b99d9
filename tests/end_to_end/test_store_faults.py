"""A store that fails while a job runs: the right result, or the right exit code and words."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.buckets import QUICK, Buckets, run
from tests.support.certificates import Certificates
from tests.support.faults import Faults, delay, flip, hook, lose_response, reset, status, truncate
from tests.support.identities import RESULTS
from tests.support.rare import rare
from tests.support.runs import tmpfs
from tests.support.seaweed import Seaweed

# Of results, not of what is kept meanwhile.
OUT = rf"/{RESULTS}/.*/out/[^.]"


@dataclass(frozen=True)
class Failing:
    """A run before a store that fails."""

    buckets: Buckets
    ended: Run
    proxy: Faults


def a_bit_of_everything(proxy: Faults) -> None:
    """Each kind of request fails in its own way, and then succeeds."""
    proxy.add(status(503, "SlowDown"), method="HEAD", match="model.h5", first=2)
    proxy.add(status(503, "SlowDown"), method="GET", match="manifest.json", first=1)
    proxy.add(flip(), method="GET", match="model.h5", first=1)
    proxy.add(truncate(), method="GET", match="data.npz", first=1)
    proxy.add(delay(1), method="PUT", match="float32.tflite$", first=1)
    proxy.add(reset("request"), method="PUT", match="baseline.h5$", first=1)
    proxy.add(lose_response(), method="PUT", match="float32.tflite.zip", first=1)
    proxy.add(status(503, "SlowDown"), method="PUT", match=f"{OUT}.*manifest.json", first=2)
    proxy.add(lose_response(), method="PUT", match="result.json", first=1)


def the_token_expires(proxy: Faults) -> None:
    """While the job is trained."""
    proxy.add(status(400, "ExpiredToken"), method="PUT", match=OUT)


def the_clock_is_wrong(proxy: Faults) -> None:
    """So much that the store takes nothing."""
    proxy.add(status(403, "RequestTimeTooSkewed"), method="GET", match="manifest.json")


def it_is_down_for_ever(proxy: Faults) -> None:
    """When the results should be published."""
    proxy.add(status(503, "SlowDown"), method="PUT", match=OUT)


CASES: dict[str, Callable[[Faults], None]] = {
    "all": a_bit_of_everything,
    "expired": the_token_expires,
    "clock": the_clock_is_wrong,
    "down": it_is_down_for_ever,
}


@pytest.fixture(scope="module")
def failing(seaweed: Seaweed, tiny: Path) -> dict[str, Failing]:
    """The runs of this file, two at a time."""

    def fail(case: str) -> Failing:
        buckets = Buckets(seaweed, f"test-faults-{case}/")
        buckets.put_inputs(tiny)
        uri = buckets.manifest(**QUICK)
        with Faults(seaweed.url()) as proxy:
            CASES[case](proxy)
            attempts = {"AWS_MAX_ATTEMPTS": "3"}
            ended = run(seaweed, "run", uri, AWS_ENDPOINT_URL_S3=proxy.url, **attempts)
            return Failing(buckets, ended, proxy)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(fail, CASES), strict=True))


def test_faults_of_every_kind(failing: dict[str, Failing]) -> None:
    """The result is whole; what was asked again is counted by operation, and said once."""
    it = failing["all"]
    assert it.ended.code == 0, it.ended.err
    result = it.buckets.whole()
    # What is asked again after it was written, and before it was read, is not in it.
    assert result["retries"] == {"HeadObject": 2, "GetObject": 2}
    (warning,) = [text for text in result["warnings"] if "asked again" in text]
    assert "HeadObject" in warning
    first = next(event for event in it.ended.events if event["event"] == "warning")
    assert "asked again" in first["message"], "of the manifest, before there is a result"
    assert it.ended.err == ""
    assert len(it.proxy.seen("PUT", "result.json")) == 2


@pytest.mark.parametrize(
    ("case", "code", "says"),
    [
        ("expired", 3, ["PutObject: ExpiredToken", "renew them"]),
        ("clock", 3, ["RequestTimeTooSkewed", "clock is wrong"]),
        ("down", 6, ["PutObject: SlowDown", "after all retries"]),
    ],
)
def test_faults_without_end(
    failing: dict[str, Failing], case: str, code: int, says: list[str]
) -> None:
    """The operation and what to do are told; nothing is there that looks like a result."""
    it = failing[case]
    assert it.ended.code == code, it.ended.err
    for text in says:
        assert text in it.ended.err
    there = it.buckets.there()
    assert not [name for name in there if not name.startswith(".resume/")]


@rare
def test_a_later_run_goes_on(failing: dict[str, Failing]) -> None:
    """With a new token: what the first one had kept is not done again."""
    it = failing["expired"]
    ended = run(it.buckets.store, "run", f"{it.buckets.uri('manifest.json')}")
    assert ended.code == 0, ended.err
    result = it.buckets.whole()
    assert "taken from a run that was stopped" in str(result["stages"])


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """A thread that starts a store again, and lives on: the store ends with it."""
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture(scope="module")
def another(
    pool: ThreadPoolExecutor, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seaweed]:
    """A store that may be stopped."""
    with Seaweed(tmp_path_factory.mktemp("another"), certificates) as store:
        yield store


@rare
def test_a_store_that_is_down_for_a_while(
    another: Seaweed, pool: ThreadPoolExecutor, tiny: Path
) -> None:
    """For twenty seconds, when inputs are downloaded and before results are published."""
    buckets = Buckets(another, "down/")
    buckets.put_inputs(tiny)
    outages = []

    def come_back() -> None:
        time.sleep(18)
        another.start()

    def go_away(_: object) -> bool:
        another.stop()
        outages.append(pool.submit(come_back))
        return False

    with Faults(another.url()) as proxy:
        proxy.add(hook(go_away), method="GET", match="data.npz", first=1)
        proxy.add(hook(go_away), method="PUT", match="baseline.h5$", first=1)
        ended = run(another, "run", buckets.manifest(**QUICK), AWS_ENDPOINT_URL_S3=proxy.url)
    for outage in outages:
        outage.result()
    assert ended.code == 0, ended.err
    assert len(outages) == 2
    assert buckets.whole()["retries"]["GetObject"] >= 1


def test_a_bucket_that_is_deleted(another: Seaweed, tiny: Path) -> None:
    """While the job runs: exit code 3, with the operation and the bucket."""
    buckets = Buckets(another, "deleted/")
    buckets.put_inputs(tiny)
    client = another.client()
    deletions = []

    def delete(_: object) -> bool:
        for it in another.listing(RESULTS):
            client.delete_object(Bucket=RESULTS, Key=it.key)
        deletions.append(client.delete_bucket(Bucket=RESULTS))
        return False

    with Faults(another.url()) as proxy:
        # The job waits for it, and puts nothing meanwhile: SeaweedFS would make the bucket again.
        proxy.add(hook(delete), method="GET", match="data.npz", first=1)
        ended = run(another, "run", buckets.manifest(**QUICK), AWS_ENDPOINT_URL_S3=proxy.url)
    assert len(deletions) == 1
    assert ended.code == 3, ended.err
    assert f"there is no bucket {RESULTS} (" in ended.error["what"]


def test_no_room_for_the_download(seaweed: Seaweed, tiny: Path, tmp_path: Path) -> None:
    """On the disk of the scratch folder: nothing is asked for."""
    buckets = Buckets(seaweed, "test-full/")
    buckets.put_inputs(tiny)
    with tmpfs(tmp_path / "disk", "size=1m") as disk, Faults(seaweed.url()) as proxy:
        ended = run(
            seaweed,
            "run",
            buckets.manifest(**QUICK),
            AWS_ENDPOINT_URL_S3=proxy.url,
            TMPDIR=str(disk),
        )
        assert list(disk.iterdir()) == []
    assert ended.code == 6, ended.err
    assert "no room for the download" in ended.error["what"]
    assert "TMPDIR" in ended.error["to_do"]
    assert proxy.seen("GET", "model.h5|data.npz") == []


def test_a_disk_that_fills_up(seaweed: Seaweed, tiny: Path, tmp_path: Path) -> None:
    """While it is downloaded: somebody else writes there, too."""
    buckets = Buckets(seaweed, "test-filling/")
    buckets.put_inputs(tiny)
    with tmpfs(tmp_path / "disk", "size=66m") as disk, Faults(seaweed.url()) as proxy:

        def fill(_: object) -> None:
            with (disk / "else").open("wb", 0) as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 12)):
                    pass

        proxy.add(hook(fill), method="GET", match="model.h5", first=1)
        ended = run(
            seaweed,
            "run",
            buckets.manifest(**QUICK),
            AWS_ENDPOINT_URL_S3=proxy.url,
            TMPDIR=str(disk),
        )
        assert [path.name for path in disk.iterdir()] == ["else"]
    assert ended.code == 6, ended.err
    assert "the disk is full" in ended.error["what"]
