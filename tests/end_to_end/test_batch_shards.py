"""Batches that are discovered, shared out, skipped where done, and summarized while they run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import paredown
from tests.support.buckets import Buckets, environment, run
from tests.support.faults import Faults
from tests.support.fleet_buckets import DEFAULTS, finished, put_batch
from tests.support.identities import MODELS
from tests.support.rare import rare
from tests.support.seaweed import Seaweed

NAMES = [f"team-{team}/net-{number}" for team in "ab" for number in range(3)]
FLAT = [name.replace("/", "-") for name in NAMES]


def discovering(buckets: Buckets, tiny: Path, **sections: Any) -> str:
    """A batch of six models in two folders, that are found by a pattern."""
    buckets.put_inputs(tiny)
    for name in NAMES:
        buckets.put(f"nets/{name}.h5", (tiny / "model.h5").read_bytes())
    buckets.put("nets/team-a/readme.txt", b"none")
    return put_batch(
        buckets,
        [],
        defaults=DEFAULTS | {"prune": None},
        discover={"uri": buckets.uri("nets"), "pattern": "**/*.h5"},
        **sections,
    )


@pytest.fixture(scope="module")
def discovered(seaweed: Seaweed, tiny: Path) -> tuple[Buckets, str]:
    """Such a batch, run by two shards at once; a third one has nothing to do with them yet."""
    buckets = Buckets(seaweed, "test-shards/")
    uri = discovering(buckets, tiny)
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda n: run(seaweed, "run", uri, "--shard", f"{n}/3"), (0, 1)))
    assert [it.code for it in ended] == [0, 0], ended
    done = [set(finished(it)) for it in ended]
    assert done[0] & done[1] == set()
    assert len(done[0]) == len(done[1]) == 2
    assert done[0] | done[1] < set(FLAT)
    return buckets, uri


def test_a_summary_while_shards_run(discovered: tuple[Buckets, str]) -> None:
    """What is not done is pending."""
    buckets, _ = discovered
    out = f"s3://results/{buckets.prefix}out"
    summary = json.loads(run(buckets.store, "summarize", out, "--json").out)
    assert [it["name"] for it in summary["jobs"]] == FLAT
    assert summary["totals"]["succeeded"] == 4
    assert summary["totals"]["pending"] == 2


def test_a_shard_that_is_done_is_skipped_by_one_listing(discovered: tuple[Buckets, str]) -> None:
    """No object of a result is asked for, and nothing is written."""
    buckets, uri = discovered
    with Faults(buckets.store.url()) as proxy:
        env = environment(buckets.store, AWS_ENDPOINT_URL_S3=proxy.url)
        again = paredown("run", uri, "--shard", "1/3", env=env)
        assert again.code == 0, again.err
        assert finished(again) == {}
        asked = [(it.method, it.path) for it in proxy.calls]
    assert [it for it in asked if it[0] not in ("GET", "HEAD")] == []
    assert [it for it in asked if "/out/" in it[1]] == []
    assert len(asked) <= 6, asked


def test_the_rest_is_the_third_shards(discovered: tuple[Buckets, str]) -> None:
    """As Kubernetes names it: together they have done every job once."""
    buckets, uri = discovered
    pod = {"JOB_COMPLETION_INDEX": "2", "PAREDOWN_SHARDS": "3"}
    last = run(buckets.store, "run", uri, **pod)
    assert last.code == 0, last.err
    assert len(finished(last)) == 2
    whole = run(buckets.store, "run", uri)
    assert whole.code == 0, whole.err
    assert finished(whole) == {}
    rows = json.loads(buckets.get("out/summary.json"))["jobs"]
    assert [(it["name"], it["status"]) for it in rows] == [(name, "succeeded") for name in FLAT]


@rare
def test_pods_of_a_job_go_by_one_plan(seaweed: Seaweed, tiny: Path) -> None:
    """Whatever models come and go while they run; another Job finds what is there then."""
    buckets = Buckets(seaweed, "test-plan/")
    uri = discovering(buckets, tiny)

    def pod(number: int, job: str) -> set[str]:
        identity = {"PAREDOWN_SHARDS": "2", "PAREDOWN_BATCH_ID": job}
        ended = run(seaweed, "run", uri, JOB_COMPLETION_INDEX=str(number), **identity)
        assert ended.code == 0, ended.out
        return set(finished(ended))

    first = pod(0, "one")
    for name in ("aaa", "team-a/large", "zzz"):
        content = (tiny / "model.h5").read_bytes() + bytes(100_000 * len(name))
        buckets.put(f"nets/{name}.h5", content)
    assert pod(0, "one") == set()
    assert pod(1, "one") == set(FLAT) - first
    assert len(first) == 3
    new = pod(0, "two") | pod(1, "two")
    assert new == {"aaa", "team-a-large", "zzz"}


@rare
def test_what_changed_is_done_again(seaweed: Seaweed, tiny: Path) -> None:
    """Another model under the same key; a file that is gone; and other settings."""
    buckets = Buckets(seaweed, "test-changed/")
    uri = discovering(
        buckets, tiny, destination={"uri": "s3://results/test-changed/out", "overwrite": True}
    )
    assert run(seaweed, "run", uri).code == 0
    changed, damaged = FLAT[0], FLAT[3]
    client = seaweed.client()
    other = _other_model(tiny)
    client.put_object(Bucket=MODELS, Key=f"{buckets.prefix}nets/{NAMES[0]}.h5", Body=other)
    client.delete_object(Bucket="results", Key=f"{buckets.prefix}out/{damaged}/baseline.h5.zip")
    again = run(seaweed, "run", uri)
    assert again.code == 0, again.out
    assert set(finished(again)) == {changed, damaged}
    third = run(seaweed, "run", uri)
    assert (third.code, finished(third)) == (0, {})


def _other_model(tiny: Path) -> bytes:
    """The same, trained a little more."""
    import tf_keras

    model = tf_keras.models.load_model(tiny / "model.h5")
    model.layers[-1].bias.assign_add([0.01, 0.0, 0.0, 0.0])
    path = tiny / "other.h5"
    model.save(path, save_format="h5")
    return path.read_bytes()


def test_no_batch_is_told(seaweed: Seaweed, tmp_path: Path) -> None:
    """Where there are no results, or none of a batch."""
    for place in ("s3://results/nothing/here", tmp_path, tmp_path / "nowhere"):
        ended = run(seaweed, "summarize", place)
        assert ended.code == 3
        assert "no results of a batch" in ended.err


@rare
@pytest.mark.parametrize("name", ["summary.json", "summary.csv", "summary.html"])
def test_a_file_of_somebodys_own_is_kept(tiny: Path, tmp_path: Path, name: str) -> None:
    """Before any work; also where the summary alone would go there."""
    from tests.support.published import write_manifest

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    job = json.loads(write_manifest(tmp_path, tiny).read_text())
    batch: dict[str, Any] = {"kind": "batch", "name": "b", "destination": {"uri": "out"}}
    batch |= {
        "defaults": {"dataset": job["dataset"]},
        "jobs": [{"name": "a", "model": job["model"]}],
    }
    (tmp_path / "batch.json").write_text(json.dumps(batch))
    ended = paredown("run", tmp_path / "batch.json")
    assert ended.code == 2
    assert f"There is a {name}" in ended.error["what"]
    assert [it.name for it in (tmp_path / "out").iterdir()] == [name]
    (tmp_path / "batch.json").write_text(json.dumps(batch | {"destination": {"uri": "elsewhere"}}))
    assert paredown("run", tmp_path / "batch.json").code == 0
    ended = paredown("summarize", tmp_path / "elsewhere", "--output", tmp_path / "out")
    assert (ended.code, (tmp_path / "out" / name).read_text()) == (2, "mine")


def test_shards_are_for_batches(tiny: Path, tmp_path: Path) -> None:
    """A job is not shared out."""
    from tests.support.published import write_manifest

    ended = paredown("run", write_manifest(tmp_path, tiny), "--shard", "0/2")
    assert ended.code == 2
    assert "--shard is for batches" in ended.error["what"]
