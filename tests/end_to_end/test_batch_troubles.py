"""Batches in trouble: what failed comes right, what is broken off is taken up, nobody's is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, paredown
from tests.support.buckets import Buckets, environment, run
from tests.support.fleet_buckets import finished, put_batch, quick, summary
from tests.support.published import write_manifest
from tests.support.rare import few, rare
from tests.support.seaweed import Seaweed


def batch(folder: Path, tiny: Path, *names: str, **sections: Any) -> Path:
    """A batch of quick jobs on this machine's disk."""
    job = json.loads(write_manifest(folder, tiny).read_text())
    jobs = [quick(name, model=job["model"]) for name in names]
    document = {"kind": "batch", "name": "b", "destination": {"uri": "out"}, "workers": 1}
    document |= {"defaults": {"dataset": job["dataset"]}, "jobs": jobs} | sections
    (folder / "batch.json").write_text(json.dumps(document))
    return folder / "batch.json"


def test_a_failure_that_is_over_is_forgotten(seaweed: Seaweed, tiny: Path) -> None:
    """The result was there before, and is what is asked for again."""
    buckets = Buckets(seaweed, "test-troubles/")
    buckets.put_inputs(tiny)
    uri = put_batch(buckets, [quick("a"), quick("b")])
    assert run(seaweed, "run", uri).code == 0
    failed = run(seaweed, "run", uri, "--set", "defaults.training.seed=5")
    assert failed.code == 3, failed.out
    assert {row["status"] for row in summary(buckets).values()} == {"failed"}
    again = run(seaweed, "run", uri)
    assert (again.code, finished(again)) == (0, {})
    assert {row["status"] for row in summary(buckets).values()} == {"succeeded"}
    assert [key for key in buckets.there() if key.endswith("failure.json")] == []


@rare
def test_a_summary_that_was_broken_off_is_written_again(tiny: Path, tmp_path: Path) -> None:
    """The table goes after it."""
    path = batch(tmp_path, tiny, "a")
    assert paredown("run", path).code == 0
    (tmp_path / "out" / "summary.csv").unlink()
    assert paredown("run", path).code == 0
    assert (tmp_path / "out" / "summary.csv").exists()


@pytest.mark.parametrize("log", few(["json", "text"]))
def test_whoever_reads_the_log_may_go_away(tiny: Path, tmp_path: Path, log: str) -> None:
    """The batch ends with 141, and no job is said to have failed; the next run does them."""
    path = batch(tmp_path, tiny, "a", "b")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "job", "run", str(path), "--log", log]
    done = subprocess.run(
        command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=200, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    assert list((tmp_path / "out").rglob("failure.json")) == []
    again = paredown("run", path)
    assert (again.code, finished(again)) == (0, {"a": 1, "b": 1})


@rare
def test_batches_at_once_on_one_folder(tiny: Path, tmp_path: Path) -> None:
    """All of them end well."""
    path = batch(tmp_path, tiny, "a", "b")
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda _: paredown("run", path), range(3)))
    assert [it.code for it in ended] == [0, 0, 0], [it.err for it in ended]
    assert sum(sum(finished(it).values()) for it in ended) == 2


@rare
def test_one_odd_input_fails_alone(tiny: Path, tmp_path: Path) -> None:
    """A name that no disk takes; a name that is no text is left out, and that is said."""
    job = json.loads(write_manifest(tmp_path, tiny).read_text())
    (tmp_path / "nets").mkdir()
    content = (tiny / "model.h5").read_bytes()
    (tmp_path / "nets" / "good.H5").write_bytes(content)
    Path(os.fsdecode(os.fsencode(tmp_path / "nets") + b"/\xff.h5")).write_bytes(content)
    jobs = [quick("long", model={"uri": "x" * 300 + ".h5"}), quick("fine", model=job["model"])]
    defaults = {"dataset": job["dataset"], "prune": None, "compress": None}
    path = batch(tmp_path, tiny, jobs=jobs, defaults=defaults, discover={"uri": "nets"})
    ended = paredown("run", path)
    assert ended.code == 3, ended.err
    assert set(finished(ended)) == {"fine", "good"}
    assert [it["job"] for it in ended.events if it["event"] == "job_failed"] == ["long"]
    assert any("whose name is no text" in it.get("message", "") for it in ended.events)


@rare
def test_the_summarys_name_is_no_jobs(tiny: Path, tmp_path: Path) -> None:
    """Neither a listed one's nor a found one's."""
    ended = paredown("validate", batch(tmp_path, tiny, "Summary.json"))
    assert ended.code == 2
    assert "the name of the batch's summary" in ended.err
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "summary.json.h5").write_bytes((tiny / "model.h5").read_bytes())
    defaults = json.loads((tmp_path / "batch.json").read_text())["defaults"] | quick("x")
    del defaults["name"], defaults["model"]
    path = batch(tmp_path, tiny, jobs=[], defaults=defaults, discover={"uri": "nets"})
    ended = paredown("run", path)
    assert (ended.code, finished(ended)) == (0, {"summary.json.h5": 1})


FORGED = {
    "a/result.json": ["{}", '{"artifacts": []}', "[" * 5000],
    "a/.batch/failure.json": ['{"exit_code": 0}', "\x1b[31m", '{"name": 1}'],
    ".batch/jobs.json": [
        '{"name": "b", "jobs": [{"name": 7, "model": null}]}',
        "[" * 100_000,
        "{}",
    ],
}


@pytest.mark.parametrize("name", few(list(FORGED)))
def test_forged_records_are_no_bugs(tiny: Path, tmp_path: Path, name: str) -> None:
    """``summarize`` has a row for each job, and says what it can't read."""
    assert paredown("run", batch(tmp_path, tiny, "a", "b")).code == 0
    genuine = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    texts = [*FORGED[name]]
    if name == "a/result.json":
        texts += [json.dumps(genuine | {"artifacts": []}), json.dumps(genuine | {"inputs": {}})]
    for text in texts:
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
        ended = paredown("summarize", tmp_path / "out", "--json")
        assert ended.code == 0, (text, ended.err)
        rows = {it["name"]: it for it in json.loads(ended.out)["jobs"]}
        assert rows.keys() == {"a", "b"}
        assert rows["b"]["status"] == "succeeded"
        assert rows["a"]["status"] == ("failed" if name == "a/result.json" else "succeeded")


@pytest.mark.parametrize("plan", ["[" * 5000, '[["a", "m", "x"]]', "{}", '[["a", "m", -1]]', ""])
def test_a_forged_plan_is_refused(seaweed: Seaweed, tiny: Path, tmp_path: Path, plan: str) -> None:
    """No job is left out because of it."""
    path = batch(tmp_path, tiny, "a")
    (tmp_path / "out" / ".batch").mkdir(parents=True)
    (tmp_path / "out" / ".batch" / "plan-7.json").write_text(plan)
    env = environment(seaweed, PAREDOWN_BATCH_ID="7")
    ended = paredown("run", path, "--shard", "0/1", env=env)
    assert ended.code == 3
    assert "go by can't be read" in ended.error["what"]
