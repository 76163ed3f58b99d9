"""A batch from bucket to bucket: good jobs are done, bad ones fail alone, each with its reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.conftest import Run
from tests.support.buckets import Buckets, run
from tests.support.fleet_buckets import files, finished, put_batch, quick, summary, trained, trusted
from tests.support.hostile_code import lambda_in_keras2
from tests.support.rare import EVERY
from tests.support.seaweed import Seaweed

GOOD = {f"good-{number}": number for number in (range(12) if EVERY else (0, 3, 7))}
# What a model does in the child when it is trained, and nowhere else.
BOMBS = {
    "crashes": "__import__('os').abort()",
    "hangs": "__import__('time').sleep(600)",
    "eats": "(__import__('numpy').ones(1 << 28), __import__('time').sleep(600))",
}
TIMEOUT_S, MEMORY = 60, 1_800_000_000
# The job: its exit code, and what its reason says.
BAD = {
    "corrupt": (3, "HDF5"),
    "hostile": (3, "Lambda"),
    "missing": (3, "no object of that key"),
    "shape": (3, "shape"),
    "gated": (5, "gate missed"),
    "crashes": (4, "died twice"),
    "hangs": (4, f"more than the {TIMEOUT_S} s"),
    "eats": (4, "bytes of memory, more than the 1,800,000,000"),
}


def bomb(folder: Path, name: str) -> Path:
    """A model with code in it that goes off while it is trained."""
    code: Callable[..., Any] = eval(  # noqa: S307 - the code
        f"lambda x, training=None: ({BOMBS[name]}, x)[1] if training is True else x"
    )
    given = tf_keras.Input((8, 8), name="picture")
    x = tf_keras.layers.Lambda(code, name="bomb")(given)
    x = tf_keras.layers.Dense(4)(tf_keras.layers.Flatten()(x))
    model = tf_keras.Model(given, x)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, ["accuracy"])
    model.save(folder / f"{name}.h5", save_format="h5")
    return folder / f"{name}.h5"


def bad_jobs(buckets: Buckets, folder: Path) -> list[dict[str, Any]]:
    """One of each kind."""
    buckets.put("corrupt.h5", (buckets.store.folder / "nothing").name.encode() * 100)
    hostile = lambda_in_keras2(folder, folder / "canary")
    buckets.put("hostile.h5", hostile.read_bytes())
    wrong = io.BytesIO()
    rows, labels = np.zeros((40, 7, 5), np.uint8), np.arange(40) % 4
    np.savez(wrong, x_train=rows, y_train=labels, x_test=rows, y_test=labels)
    buckets.put("wrong.npz", wrong.getvalue())
    return [
        quick("corrupt", model={"uri": "corrupt.h5"}),
        quick("hostile", model={"uri": "hostile.h5"}),
        quick("missing", model={"uri": "nowhere.h5"}),
        quick("shape", dataset={"uri": "wrong.npz"}),
        quick("gated", gates=[{"type": "min_ratio", "value": 1000}]),
        *(trusted(buckets, bomb(folder, name), name) for name in BOMBS),
    ]


@dataclass(frozen=True)
class Batch:
    """A batch that was run twice."""

    buckets: Buckets
    uri: str
    first: Run
    again: Run


@pytest.fixture(scope="module")
def batch(seaweed: Seaweed, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Good jobs and eight bad ones; the second time without those that take long to fail."""
    buckets = Buckets(seaweed, "test-batch/")
    buckets.put_inputs(tiny)
    good = [trained(name, seed) for name, seed in GOOD.items()]
    bad = bad_jobs(buckets, tmp_path_factory.mktemp("bad"))
    limits = {"timeout_s": TIMEOUT_S, "memory_limit_bytes": MEMORY}
    uri = put_batch(buckets, [*bad, *good], **limits)
    first = run(seaweed, "run", uri)
    again = run(seaweed, "run", put_batch(buckets, [*bad[:5], *good], **limits))
    return Batch(buckets, uri, first, again)


def test_good_ones_are_done_and_bad_ones_fail_alone(batch: Batch) -> None:
    """Each with its reason and code; the batch ends with that of the worst."""
    assert batch.first.code == 4, batch.first.err
    rows = {row["name"]: row for row in _rows(batch.first)}
    assert rows.keys() == GOOD.keys() | BAD.keys()
    for name, (code, says) in BAD.items():
        assert rows[name]["exit_code"] == code, rows[name]
        assert says in rows[name]["reason"], rows[name]
    for name in GOOD:
        assert rows[name]["status"] == "succeeded", rows[name]


def _rows(ended: Run) -> list[dict[str, Any]]:
    """Of the run itself: what a job ended with is an event."""
    rows = []
    for it in ended.events:
        if it["event"] == "job_failed":
            reason = f"{it['what']} {it.get('where', '')}"
            rows.append({"name": it["job"], "exit_code": it["exit_code"], "reason": reason})
        elif it["event"] == "run_finished":
            missed = it["status"] == "gate_missed"
            reason = "gate missed" if missed else ""
            code = 5 if missed else 0
            status = it["status"]
            rows.append({"name": it["job"], "exit_code": code, "reason": reason, "status": status})
    return rows


def test_no_retry_storm(batch: Batch) -> None:
    """A job that crashes is tried once more, and no other is; each is done once."""
    begun = [it["job"] for it in batch.first.events if it["event"] == "run_started"]
    assert sorted(begun) == sorted(GOOD.keys() | BAD.keys())
    scans = [
        it["job"]
        for it in batch.first.events
        if it["event"] == "stage_started" and it["stage"] == "scan"
    ]
    assert {name for name in scans if scans.count(name) > 1} == {"crashes"}
    assert set(finished(batch.first).values()) == {1}


def test_the_second_run_does_what_is_left(batch: Batch) -> None:
    """What is done, gate missed or not, is skipped by one listing; what failed is tried again."""
    assert batch.again.code == 3, batch.again.err
    begun = {it["job"] for it in batch.again.events if it["event"] == "run_started"}
    assert begun == {"corrupt", "hostile", "missing", "shape"}
    (started,) = [it for it in batch.again.events if it["event"] == "batch_started"]
    assert started["done_already"] == len(GOOD) + 1


def test_the_summary_has_a_row_for_each(batch: Batch) -> None:
    """Of the second run, in which three were not asked any more."""
    rows = summary(batch.buckets)
    assert rows.keys() == GOOD.keys() | BAD.keys() - BOMBS.keys()
    for name, (code, says) in BAD.items():
        if name in BOMBS:
            continue
        assert rows[name]["exit_code"] == code
        assert says in rows[name]["reason"]
    row = rows["good-3"]
    result = json.loads(batch.buckets.get("out/good-3/result.json"))
    (artifact,) = [it for it in result["artifacts"] if it["stage"] == "quantize"]
    assert row["artifact"] == "dynamic_range"
    assert row["smallest_bytes"] == artifact["encoded"]["zip"]["bytes"]
    assert row["path"] == f"good-3/{artifact['encoded']['zip']['path']}"
    assert len(batch.buckets.get(f"out/{row['path']}")) == row["smallest_bytes"]
    assert row["ratio"] == round(
        result["artifacts"][0]["reference_bytes"] / row["smallest_bytes"], 2
    )
    assert row["quality"] == artifact["metrics"]["accuracy"]
    lines = list(csv.DictReader(io.StringIO(batch.buckets.get("out/summary.csv").decode())))
    assert {it["name"]: it["status"] for it in lines} == {
        name: it["status"] for name, it in rows.items()
    }


def test_summarize_says_the_same(batch: Batch, tmp_path: Path) -> None:
    """From what is there; as a table, as JSON, and as files."""
    destination = f"s3://results/{batch.buckets.prefix}out"
    printed = run(batch.buckets.store, "summarize", destination, "--json", "--output", tmp_path)
    assert printed.code == 0, printed.err
    there = json.loads(batch.buckets.get("out/summary.json"))
    mine = json.loads(printed.out)
    assert mine["jobs"] == there["jobs"]
    assert mine["totals"] == there["totals"]
    assert json.loads((tmp_path / "summary.json").read_text())["jobs"] == there["jobs"]
    table = run(batch.buckets.store, "summarize", destination)
    assert f"{len(GOOD) + 5} jobs: {len(GOOD)} ready, 1 with a missed gate, 4 failed" in table.out
    assert "3 more folders there are of none of these jobs" in table.out


def test_the_expansion_is_beside_the_results(batch: Batch) -> None:
    """Every job with its model and its size."""
    document = json.loads(batch.buckets.get("out/.batch/jobs.json"))
    jobs = {it["name"]: it for it in document["jobs"]}
    assert jobs.keys() == GOOD.keys() | BAD.keys() - BOMBS.keys()
    size = next(it["bytes"] for it in jobs.values() if it["name"] == "good-0")
    assert size == len(
        batch.buckets.store.client()
        .get_object(Bucket="models", Key=f"{batch.buckets.prefix}model.h5")["Body"]
        .read()
    )


def test_a_job_of_a_batch_is_the_job_alone(batch: Batch, tmp_path: Path) -> None:
    """In a warm worker, after others: the same bytes as in a process of its own."""
    job = json.loads(batch.buckets.get("out/good-7/manifest.json"))
    job["model"]["uri"] = batch.buckets.uri("model.h5")
    job["dataset"]["uri"] = batch.buckets.uri("data.npz")
    job["destination"] = {"uri": str(tmp_path / "alone")}
    (tmp_path / "job.json").write_text(json.dumps(job))
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    alone = run(batch.buckets.store, "run", tmp_path / "job.json", **threads)
    assert alone.code == 0, alone.err
    theirs = [name for name in files(batch.buckets) if name.startswith("good-7/")]
    assert len(theirs) == 6
    for name in theirs:
        mine = (tmp_path / "alone" / name.removeprefix("good-7/")).read_bytes()
        assert mine == batch.buckets.get(f"out/{name}"), name
