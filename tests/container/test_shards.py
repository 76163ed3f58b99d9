"""Four shards of a batch in four containers at once, one of them killed: each job is done once."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.container.engine import container, engine
from tests.support.buckets import Buckets, run
from tests.support.fleet_buckets import finished, put_batch, trained
from tests.support.seaweed import Seaweed

SHARDS = 4
# The last one is killed when its first job is done.
KILLED = 3
JOBS = {f"job-{number}": number for number in range(8)}


@dataclass(frozen=True)
class Shards:
    """The containers' runs; the killed one's is there twice."""

    buckets: Buckets
    runs: list[Run]
    told: list[dict[str, Any]]
    killed: Run


@pytest.fixture(scope="module")
def shards(
    image: str,
    seaweed: Seaweed,
    tiny: Path,
    where: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shards:
    """As the pods of an Indexed Job: an index each, and none knows of the others."""
    buckets = Buckets(seaweed, "test-containers/")
    buckets.put_inputs(tiny)
    uri = put_batch(buckets, [trained(name, seed) for name, seed in JOBS.items()], workers=1)
    folder = tmp_path_factory.mktemp("shards")

    def pod(number: int, stack: contextlib.ExitStack) -> Any:
        index = {"JOB_COMPLETION_INDEX": str(number), "PAREDOWN_SHARDS": str(SHARDS)}
        mine = where | {"variables": where["variables"] | index}
        return stack.enter_context(container(folder, "run", uri, **mine))

    with contextlib.ExitStack() as stack:
        pods = [pod(number, stack) for number in range(SHARDS)]
        last = pods[KILLED]
        last.until("run_finished")
        subprocess.run([engine(), "kill", "--signal", "KILL", last.name], check=True)
        killed = last.finish()
        pods[KILLED] = pod(KILLED, stack)
        with ThreadPoolExecutor(SHARDS) as pool:
            runs = list(pool.map(lambda it: it.finish(), pods))
        return Shards(buckets, runs, [it.told() for it in pods], killed)


def test_the_union_is_the_whole_batch_and_each_job_is_done_once(shards: Shards) -> None:
    """The killed one's first job is not done again."""
    assert shards.killed.code == 128 + signal.SIGKILL
    for it in shards.runs:
        assert it.code == 0, it.err
    done = sum((finished(it) for it in [*shards.runs, shards.killed]), Counter[str]())
    assert done == dict.fromkeys(JOBS, 1)
    assert sum(finished(shards.killed).values()) == 1


def test_the_termination_message_is_of_the_shard(shards: Shards) -> None:
    """How many of its jobs are ready."""
    assert [it["status"] for it in shards.told] == ["succeeded"] * SHARDS
    assert [it["succeeded"] for it in shards.told] == [2] * SHARDS


def test_the_summary_agrees(shards: Shards) -> None:
    """From the bucket, outside of the containers."""
    out = f"s3://results/{shards.buckets.prefix}out"
    summary = json.loads(run(shards.buckets.store, "summarize", out, "--json").out)
    assert {it["name"]: it["status"] for it in summary["jobs"]} == dict.fromkeys(JOBS, "succeeded")
    assert summary["exit_code"] == 0
