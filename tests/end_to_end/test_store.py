"""From bucket to bucket: the results are those of a run on this machine, each with its digest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, paredown
from tests.support.buckets import QUICK, Buckets, environment, run
from tests.support.certificates import Certificates
from tests.support.faults import Faults
from tests.support.identities import IDENTITIES, MODELS, RESULTS, secrets_in
from tests.support.published import digestible, make_result, write_manifest
from tests.support.rare import few, rare
from tests.support.runs import Watched
from tests.support.seaweed import Seaweed


@pytest.fixture(scope="module")
def buckets(seaweed: Seaweed, tiny: Path) -> Buckets:
    """The inputs of this file's tests."""
    made = Buckets(seaweed, "test-store/")
    made.put_inputs(tiny)
    return made


@pytest.fixture(scope="module")
def published(buckets: Buckets, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tutorial's job on the tiny model: from bucket to bucket through a proxy, and from folder
    to folder.
    """
    folder = tmp_path_factory.mktemp("local")
    with Faults(buckets.store.url()) as proxy:
        there = Watched(
            "run",
            buckets.manifest(),
            env=environment(buckets.store, AWS_ENDPOINT_URL_S3=proxy.url),
        )
        here = paredown("run", write_manifest(folder, tiny))
        ended = there.finish()
        calls = list(proxy.calls)
    assert (ended.code, ended.err, here.code, here.err) == (0, "", 0, "")
    return ended, folder / "out", calls


def test_bucket_to_bucket(published: Any, buckets: Buckets) -> None:
    """All objects have their digests, and the artifacts are byte for byte those of a local run."""
    _, local, calls = published
    result = buckets.whole()
    files = digestible(local)
    for name in files.keys() - {"manifest.json"}:
        assert buckets.get(f"out/{name}") == files[name], name
    assert (result["status"], result["retries"]) == ("succeeded", {})
    assert result["stages"][0]["name"] == "fetch"
    puts = [call.path for call in calls if call.method == "PUT" and "/.resume/" not in call.path]
    assert puts[-1].endswith("/out/result.json")
    assert len(puts) == len(set(puts)) == len(buckets.there())


def test_publishing_gets_to_its_end(published: Any) -> None:
    """The progress of each stage that tells of any reaches its total, in a bucket too."""
    ended = published[0]
    last = {it["stage"]: it for it in ended.events if it["event"] == "progress"}
    assert {"fetch", "publish"} <= last.keys()
    assert all(it["done"] == it["total"] > 0 for it in last.values()), last


def test_what_was_verified_is_told(published: Any) -> None:
    """The stage fetch says how it is known that the inputs are what lies there."""
    ended = published[0]
    (fetch,) = [it for it in ended.events if it.get("stage") == "fetch" and "decisions" in it]
    assert len(fetch["decisions"]) == 2
    assert all("verified by SHA256" in it for it in fetch["decisions"])


def counted(buckets: Buckets, uri: str, *arguments: str) -> tuple[Run, Faults]:
    """A run, and the requests that it made for the destination."""
    with Faults(buckets.store.url()) as proxy:
        ended = run(buckets.store, "run", uri, *arguments, AWS_ENDPOINT_URL_S3=proxy.url)
    return ended, proxy


def test_a_second_run_finds_it_done(published: Any, buckets: Buckets) -> None:
    """No training, no download of an input, no write; one GET at the destination, and one listing.
    Of all other objects, inputs and results, each is looked at once.
    """
    before = buckets.there()
    ended, proxy = counted(buckets, buckets.manifest())
    assert (ended.code, ended.err) == (0, "")
    assert [it["event"] for it in ended.events] == ["run_started", "run_finished"]
    assert ended.events[-1]["already_done"] is True
    here = f"/{RESULTS}/"
    assert [call.path for call in proxy.seen("GET", here) if "list-type" not in call.query] == [
        f"/{RESULTS}/{buckets.prefix}out/result.json"
    ]
    looked_at = Counter(call.path for call in proxy.seen("HEAD"))
    results = {f"{here}{buckets.prefix}out/{name}" for name in before.keys() - {"result.json"}}
    inputs = {f"/{MODELS}/{buckets.prefix}{name}" for name in ("model.h5", "data.npz")}
    assert looked_at.keys() <= results | inputs
    assert set(looked_at.values()) == {1}
    assert len(proxy.seen("GET")) <= 3  # the manifest, the result, and the listing
    assert len(proxy.seen("GET", f"{here}.*list-type")) <= 1
    assert proxy.seen("GET", "model.h5|data.npz") == []
    assert {call.method for call in proxy.calls} == {"GET", "HEAD"}
    assert buckets.there() == before


@pytest.fixture(scope="module")
def quick(buckets: Buckets) -> str:
    """The URI of a quick job that is done, in ``quick``."""
    uri = buckets.manifest("quick", **QUICK)
    assert run(buckets.store, "run", uri).code == 0
    return uri


@pytest.mark.parametrize("harm", few(["changed", "missing"]))
def test_what_is_not_whole_is_done_again(quick: str, buckets: Buckets, harm: str) -> None:
    """An object is missing, or another one of the same size, at the destination."""
    client = buckets.store.client()
    where = {"Bucket": RESULTS, "Key": f"{buckets.prefix}quick/float32.tflite"}
    whole = buckets.get("quick/float32.tflite")
    if harm == "missing":
        client.delete_object(**where)
    else:
        client.put_object(**where, Body=bytes(len(whole)))
    ended = run(buckets.store, "run", buckets.manifest("quick", **QUICK))
    assert ended.code == 0, ended.err
    assert ended.events[-1]["already_done"] is False
    assert buckets.get("quick/float32.tflite") == whole
    assert "missing or damaged" in buckets.whole("quick")["warnings"][0]


@rare
def test_another_result_is_refused_or_replaced(quick: str, buckets: Buckets) -> None:
    """Its result is gone before one of its files is touched."""
    buckets.whole("quick")
    before = buckets.there("quick")
    sections = QUICK | {"quantize": [{"type": "float16"}]}
    refused = run(buckets.store, "run", buckets.manifest("quick", **sections))
    assert (refused.code, refused.error["error"]) == (2, "ManifestError")
    assert "another run" in refused.error["what"]
    assert buckets.there("quick") == before
    ended, proxy = counted(
        buckets, buckets.manifest("quick", **sections), "--set", "destination.overwrite=true"
    )
    assert ended.code == 0, ended.err
    assert "float16.tflite" in {it["path"] for it in buckets.whole("quick")["artifacts"]}
    written = [
        (call.method, call.path.rpartition("/")[2])
        for call in proxy.calls
        if call.method in ("PUT", "DELETE") and "/.resume/" not in call.path
    ]
    assert written[0] == ("DELETE", "result.json")
    assert written[-1] == ("PUT", "result.json")


def test_somebody_elses_object_is_left_alone(buckets: Buckets) -> None:
    """One of a name that the job would write; it is looked for in one listing."""
    buckets.put("mine/prune.h5", b"mine", RESULTS)
    buckets.put("mine/notes.txt", b"mine too", RESULTS)
    ended, proxy = counted(buckets, buckets.manifest("mine"))
    assert (ended.code, ended.error["error"]) == (2, "ManifestError")
    assert "overwritten: prune.h5." in ended.error["what"]
    assert {name: it.size for name, it in buckets.there("mine").items()} == {
        "prune.h5": 4,
        "notes.txt": 8,
    }
    assert len(proxy.seen("GET", f"/{RESULTS}.*list-type")) == 1


@pytest.mark.parametrize("forged", ["unreadable", "beside ours"])
def test_overwriting_leaves_somebody_elses_object_alone(buckets: Buckets, forged: str) -> None:
    """Beside a result that can't be read nothing is known to be ours; beside one of ours, only what
    it names. Nothing is written or removed.
    """
    out = f"forged-{forged[0]}"
    if forged == "unreadable":
        content = b'{"artifacts": [{"path": "../model.h5"}]}'
    else:
        content = make_result().model_dump_json().encode()
    buckets.put(f"{out}/result.json", content, RESULTS)
    buckets.put(f"{out}/prune.h5", b"mine", RESULTS)
    before = buckets.there(out)
    ended, proxy = counted(buckets, buckets.manifest(out), "--set", "destination.overwrite=true")
    assert (ended.code, ended.error["error"]) == (2, "ManifestError"), ended.err
    assert {call.method for call in proxy.calls} <= {"GET", "HEAD"}
    assert buckets.there(out) == before


@pytest.mark.parametrize("by", few(["manifest", "environment"]))
def test_https_and_two_profiles(
    buckets: Buckets, certificates: Certificates, tmp_path: Path, by: str
) -> None:
    """One who reads the inputs and one who writes the results, of an authority of its own."""
    lines = [
        f"[{name}]\naws_access_key_id = {IDENTITIES[name][0]}\n"
        f"aws_secret_access_key = {IDENTITIES[name][1]}\n"
        for name in ("reader", "writer")
    ]
    (tmp_path / "credentials").write_text("".join(lines))
    store = buckets.store
    bundle = str(certificates.authority)
    added = (
        {} if by == "environment" else {"ca_bundle": bundle, "endpoint_url": store.url(https=True)}
    )
    reader, writer = (
        {"profile": name, "region": "us-east-1"} | added for name in ("reader", "writer")
    )
    sections = QUICK | {
        "model": {"uri": buckets.uri("model.h5"), "storage": reader},
        "dataset": {"uri": buckets.uri("data.npz"), "scale": 1 / 255, "storage": reader},
        "destination": {"uri": f"s3://{RESULTS}/{buckets.prefix}{by}", "storage": writer},
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"name": "tiny"} | sections))
    variables = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ENDPOINT_URL_S3": store.url(https=True) if by == "environment" else "",
        "AWS_CA_BUNDLE": bundle if by == "environment" else "",
    }
    ended = run(store, "run", path, "--verbose", **variables)
    assert ended.code == 0, ended.err
    buckets.whole(by)
    assert secrets_in([ended.out.encode(), ended.err.encode()]) == set()
