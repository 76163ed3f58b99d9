"""Batches that are killed, or told to stop; the next run does what is left, and nothing twice."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, paredown
from tests.support.buckets import Buckets, environment
from tests.support.fleet_buckets import files, finished, put_batch, summary, trained
from tests.support.rare import rare
from tests.support.runs import Watched, children, is_gone
from tests.support.seaweed import Seaweed

# benchmarks/fleet_kill.py does it at many points; a single job is killed in test_killed.py.
pytestmark = rare
JOBS = {f"job-{number}": number for number in range(4)}
SLOWER: dict[str, Any] = {
    "training": {"epochs": 8, "batch_size": 4},
    "resume": {"save_every_s": 0.5, "grace_s": 20},
}


@dataclass(frozen=True)
class Case:
    """What is ended, how, and when."""

    number: signal.Signals
    until: tuple[str, str | None]
    """The event, and its stage, that is waited for."""
    worker: bool = False
    """Whether it is a worker, and not the run itself."""


CASES = {
    "killed in training": Case(signal.SIGKILL, ("stage_started", "prune")),
    "killed after a job": Case(signal.SIGKILL, ("run_finished", None)),
    "told to stop": Case(signal.SIGTERM, ("stage_started", "strip")),
    "a worker is killed": Case(signal.SIGKILL, ("stage_started", "prune"), worker=True),
}


@dataclass(frozen=True)
class Ended:
    """A batch that was ended, and the next one."""

    first: Run
    done: set[str]
    """The jobs that had a result by then."""
    left: list[int]
    """Workers that were still there some seconds later."""
    second: Run
    files: dict[str, str]
    buckets: Buckets
    scratch: list[str]
    """What is left in the folder for temporary files."""


def batch(buckets: Buckets) -> str:
    """Four jobs that train for some seconds."""
    jobs = [trained(name, seed, **SLOWER) for name, seed in JOBS.items()]
    for job, seed in zip(jobs, JOBS.values(), strict=True):
        job["training"] = {**SLOWER["training"], "seed": seed}
    return put_batch(buckets, jobs)


def end(store: Seaweed, tiny: Path, name: str, folder: Path) -> Ended:
    """Run a batch, end it, and run it again."""
    case, buckets = CASES[name], Buckets(store, f"test-fleet-{name.replace(' ', '-')}/")
    buckets.put_inputs(tiny)
    uri = batch(buckets)
    folder.mkdir()
    env = environment(store, TMPDIR=str(folder))
    watched = Watched("run", uri, env=env)
    watched.until(*case.until)
    workers = children(watched.pid)
    os.kill(workers[0] if case.worker else watched.pid, case.number)
    first = watched.finish()
    left = [pid for pid in workers if not is_gone(pid)]
    done = {key.split("/")[0] for key in buckets.there() if key.endswith("/result.json")}
    second = paredown("run", uri, env=env)
    there = [it.name for it in folder.iterdir()]
    return Ended(first, done, left, second, files(buckets), buckets, there)


@pytest.fixture(scope="module")
def undisturbed(seaweed: Seaweed, tiny: Path) -> dict[str, str]:
    """The files of a batch that nothing happened to."""
    buckets = Buckets(seaweed, "test-fleet-undisturbed/")
    buckets.put_inputs(tiny)
    done = paredown("run", batch(buckets), env=environment(seaweed))
    assert done.code == 0, done.out
    assert finished(done) == dict.fromkeys(JOBS, 1)
    return files(buckets)


@pytest.fixture(scope="module")
def ended(
    seaweed: Seaweed, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """All cases, two at a time."""
    folder = tmp_path_factory.mktemp("ended")
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda name: end(seaweed, tiny, name, folder / name), CASES)
        return dict(zip(CASES, runs, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_job_is_done_once(
    ended: dict[str, Ended], undisturbed: dict[str, str], name: str
) -> None:
    """None is lost, and none done twice; the files are those of a batch left alone."""
    it = ended[name]
    assert it.second.code == 0, it.second.out
    assert it.files == undisturbed
    # One that was published may not have been told of when the run was killed.
    assert finished(it.first).keys() <= it.done
    assert finished(it.second) == dict.fromkeys(JOBS.keys() - it.done, 1)
    rows = summary(it.buckets)
    assert {row["status"] for row in rows.values()} == {"succeeded"}
    assert rows.keys() == JOBS.keys()


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_over(ended: dict[str, Ended], name: str) -> None:
    """No worker outlives its parent; nothing is kept of what is done, here or in the store."""
    it = ended[name]
    assert it.left == []
    assert it.scratch == []
    there = it.buckets.there()
    assert [key for key in there if "/.resume/" in key or key.endswith("failure.json")] == []
    assert it.buckets.store.uploads("results", it.buckets.prefix) == []


def test_exit_codes(ended: dict[str, Ended]) -> None:
    """A batch that was told to stop says so; one whose worker was killed has a failed job."""
    assert ended["killed in training"].first.code == -signal.SIGKILL
    told = ended["told to stop"].first
    assert told.code == 143, told.err
    assert "jobs were done" in told.error["where"]
    killed = ended["a worker is killed"].first
    assert killed.code == 4, killed.err
    (failed,) = [it for it in killed.events if it["event"] == "job_failed"]
    assert "was killed in stage" in failed["what"]


def test_what_was_told_to_stop_goes_on(ended: dict[str, Ended]) -> None:
    """Its jobs were saved, and so they are not begun anew."""
    second = ended["told to stop"].second
    assert [it for it in second.events if it["event"] == "stage_resumed"] != []
