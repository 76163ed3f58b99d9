"""Where inputs may be: prefixes, patterns, web servers; and what is refused unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Run
from tests.support.buckets import QUICK, Buckets, environment, run
from tests.support.certificates import Certificates
from tests.support.faults import Faults
from tests.support.https_files import https_files
from tests.support.identities import MODELS, PUBLIC, RESULTS
from tests.support.published import FAILED
from tests.support.rare import rare
from tests.support.runs import Watched
from tests.support.seaweed import Seaweed

ODD = "odd ü %20+&=?#/model's.h5"


@pytest.fixture(scope="module")
def buckets(seaweed: Seaweed, tiny: Path) -> Buckets:
    """The model, also as a SavedModel, also under an odd key; the data, also in two pieces."""
    import tf_keras

    made = Buckets(seaweed, "test-inputs/")
    made.put_inputs(tiny)
    made.put(ODD, (tiny / "model.h5").read_bytes())
    folder = tiny / "saved"
    tf_keras.models.load_model(tiny / "model.h5").save(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            made.put(f"saved/{path.relative_to(folder).as_posix()}", path.read_bytes())
    arrays = np.load(tiny / "data.npz")
    for number, rows in enumerate((slice(0, 50), slice(50, None)), 1):
        np.savez(tiny / "shard.npz", **{name: arrays[name][rows] for name in arrays})
        made.put(f"shards/shard-{number}.npz", (tiny / "shard.npz").read_bytes())
    made.put("shards/other.txt", b"no archive")
    for name in ("model.h5", "data.npz"):
        seaweed.client().put_object(
            Bucket=MODELS, Key=f"{PUBLIC}test-inputs/{name}", Body=(tiny / name).read_bytes()
        )
    return made


@pytest.fixture(scope="module")
def web(tiny: Path, certificates: Certificates) -> Iterator[Faults]:
    """A web server that has the tiny model and its data."""
    with https_files(tiny, certificates) as files:
        yield files


CASES: dict[str, dict[str, Any]] = {
    "a folder and a prefix": {"model": {"uri": "saved/"}, "dataset": {"uri": "shards/"}},
    "an odd key and a pattern": {"model": {"uri": ODD}, "dataset": {"uri": "shards/shard-*.npz"}},
    "a web server": {"model": {"uri": "{web}/model.h5"}, "dataset": {"uri": "{web}/data.npz"}},
}


@pytest.fixture(scope="module")
def ran(
    buckets: Buckets, web: Faults, certificates: Certificates, tmp_path_factory: Any
) -> dict[str, Run]:
    """A quick job for each case, two at a time."""

    def start(case: str) -> Run:
        sections = json.loads(json.dumps(CASES[case]).replace("{web}", web.url))
        sections["dataset"]["scale"] = 1 / 255
        path = tmp_path_factory.mktemp("inputs") / "manifest.json"
        for it in sections.values():
            if "://" not in it["uri"]:
                it["uri"] = buckets.uri(it["uri"])
        sections["destination"] = {"uri": f"s3://{RESULTS}/{buckets.prefix}{case}"}
        path.write_text(json.dumps({"name": "tiny"} | QUICK | sections))
        variables = {}
        if case == "a web server":
            variables["AWS_CA_BUNDLE"] = str(certificates.authority)
        return run(buckets.store, "run", path, **variables)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(start, CASES), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_inputs_of_every_kind(ran: dict[str, Run], buckets: Buckets, case: str) -> None:
    """They give the results that they would on this machine's disk."""
    assert ran[case].code == 0, ran[case].err
    result = buckets.whole(case)
    baseline = next(it for it in result["artifacts"] if it["stage"] == "baseline")
    assert baseline["metrics"]["accuracy"] == 1.0
    assert result["inputs"]["model"]["sha256"] == baseline["sha256"]
    assert result["inputs"]["model"]["uri"].endswith(
        {"a folder and a prefix": "saved/", "a web server": "/model.h5"}.get(case, ODD)
    )
    assert result["inputs"]["dataset"]["verified"].startswith("verified by ")


def test_messages_name_what_the_manifest_names(buckets: Buckets) -> None:
    """Not the file in the scratch folder that it was for a while."""
    buckets.put("broken.h5", b"no model at all")
    ended = run(
        buckets.store, "run", buckets.manifest("broken", **QUICK, model={"uri": "broken.h5"})
    )
    assert ended.code == 3, ended.err
    assert buckets.uri("broken.h5") in ended.error["where"] + ended.error["what"]
    assert "/paredown-" not in ended.err


def test_the_same_object_twice_is_downloaded_once(buckets: Buckets) -> None:
    """A model and a data set of one URI: it is no data set, but that is found out later."""
    with Faults(buckets.store.url()) as proxy:
        uri = buckets.manifest("twice", **QUICK, dataset={"uri": "model.h5"})
        ended = run(buckets.store, "run", uri, AWS_ENDPOINT_URL_S3=proxy.url)
        assert ended.code == 3, ended.err
        assert len(proxy.seen("GET", "model.h5")) == 1


@pytest.mark.parametrize("which", ["model", "dataset", "storage"])
def test_too_large_an_object(buckets: Buckets, which: str) -> None:
    """It is refused before any other is asked for, its size is told, and only that is published."""
    limit = {"max_object_bytes": 1000}
    sections = {
        "model": {"uri": "model.h5", "storage": limit},
        "dataset": {"uri": "data.npz", "storage": limit},
        "storage": limit,
    }
    with Faults(buckets.store.url()) as proxy:
        uri = buckets.manifest("large", **QUICK | {which: sections[which]})
        ended = run(buckets.store, "run", uri, AWS_ENDPOINT_URL_S3=proxy.url)
        assert ended.code == 3, ended.err
        assert "more than storage.max_object_bytes (1,000)" in ended.error["what"]
        assert proxy.seen("GET", "model.h5|data.npz") == []
    assert buckets.there("large").keys() == FAILED


def test_other_commands_read_buckets_too(buckets: Buckets) -> None:
    """A model is inspected, a manifest validated; one that is not there is refused."""
    seen = run(buckets.store, "inspect", buckets.uri(ODD), "--json", "--no-variants")
    assert seen.code == 0, seen.err
    assert json.loads(seen.out)["uri"] == buckets.uri(ODD)
    valid = run(buckets.store, "validate", buckets.manifest())
    assert (valid.code, valid.out) == (0, f"{buckets.uri('manifest.json')}: valid\n")
    missing = run(buckets.store, "validate", buckets.uri("none.json"))
    assert missing.code == 3
    assert "there is no such object" in missing.err


@rare
def test_anonymous_reading(buckets: Buckets, tmp_path: Path) -> None:
    """What is public is read without keys, and results go to a folder."""
    public = {"storage": {"anonymous": True}}
    path = tmp_path / "manifest.json"
    uri = f"s3://{MODELS}/{PUBLIC}test-inputs"
    sections = {
        "model": {"uri": f"{uri}/model.h5", **public},
        "dataset": {"uri": f"{uri}/data.npz", "scale": 1 / 255, **public},
    }
    path.write_text(json.dumps({"name": "tiny"} | QUICK | sections))
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    ended = run(buckets.store, "run", path, **nobody)
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "result.json").exists()
    refused = run(buckets.store, "inspect", f"{uri}/model.h5", **nobody)
    assert refused.code == 3
    assert "no credentials" in refused.err


@rare
@pytest.mark.parametrize("attempt", [1, 2])
def test_two_runs_at_once(buckets: Buckets, attempt: int) -> None:
    """Of the same manifest: both succeed, and one whole result is there, of which both tell."""
    uri = buckets.manifest(f"race-{attempt}", **QUICK)
    variables = environment(buckets.store)
    runs = [Watched("run", uri, env=variables) for _ in range(2)]
    ended = [it.finish() for it in runs]
    assert [it.code for it in ended] == [0, 0], [it.err for it in ended]
    result = buckets.whole(f"race-{attempt}")
    assert {it.events[-1]["run_id"] for it in ended} == {result["run_id"]}
