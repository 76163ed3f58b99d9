"""A batch of ten thousand jobs that are done: to check it, to skip a shard of it, to sum it up.

One job is run in truth, on a store of its own, from bucket to bucket. Its ``result.json`` is put
for every other job, varied (``fleet_jobs.py``). At 1,000, 3,000 and 10,000 jobs, each a whole
process: ``validate`` of the manifest; ``run --shard i/n`` of a shard of 100 jobs, which all are
done; ``summarize``.

Usage: python benchmarks/fleet_scale.py [--jobs 1000 3000 10000]
Exits with 1 if, at the most jobs, ``validate`` takes more than 5 s or 500 MB, the skip more than
3 s, ``summarize`` more than 60 s or 500 MB; or, at any, a job is not told as done, or TensorFlow is
imported.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from buckets import (
    ROOT,
    contents,
    environment,
    running_store,
    upload_quickstart,
    write_manifest,
)
from fleet_events import read_events
from processes import Run, run

from tests.support.identities import MODELS, RESULTS
from tests.support.seaweed import Seaweed

OF_A_SHARD = 100
TRUE, NAME = "true", "scale"
DESTINATION = f"s3://{RESULTS}/{NAME}"
# The command; it fails where it has imported what takes seconds.
CODE = """
import sys
from job.cli import main
try:
    main()
finally:
    assert not {"tensorflow", "tf_keras", "keras"} & sys.modules.keys()
"""
# Command -> seconds, megabytes.
LIMITS = {"validate": (5.0, 500.0), "skip": (3.0, None), "summarize": (60.0, 500.0)}


@dataclass(frozen=True)
class Row:
    """What the commands took at a number of jobs."""

    jobs: int
    runs: Mapping[str, Run]


class Bench:
    """A store, in which there are more and more jobs."""

    def __init__(self, store: Seaweed, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.there = 0
        self.result = folder / "result.json"
        self._run_one()

    def measure(self, jobs: int) -> Row:
        """Put the jobs that are missing, and run the commands."""
        manifest = self._manifest(jobs)
        os.environ |= self.store.environment("rw")
        script: list[str | Path] = [sys.executable, "-m", "benchmarks.fleet_jobs"]
        put = run([*script, manifest, self.result, str(self.there)], ROOT)
        self.there = jobs
        print(f"{jobs:,} jobs are there, after {put.wall_s:.0f} s more", flush=True)
        os.environ |= environment(self.store, self.folder)
        shards = max(1, jobs // OF_A_SHARD)
        _skip(manifest, 0, shards)  # which writes down, too, which jobs there are
        output = self.folder / "summary"
        done = {
            "validate": _command("validate", manifest),
            "skip": _skip(manifest, shards // 2, shards),
            "summarize": _command("summarize", DESTINATION, f"--output={output}"),
        }
        totals = json.loads((output / "summary.json").read_text())["totals"]
        if (totals["jobs"], totals["succeeded"]) != (jobs, jobs):
            sys.exit(f"the summary does not tell that all are done: {totals}")
        return Row(jobs, done)

    def _run_one(self) -> None:
        """A job; its result is kept."""
        upload_quickstart(self.store)
        os.environ |= environment(self.store, self.folder)
        sections = {"compress": {"codecs": ["zip"]}, "gates": []}
        manifest = write_manifest(self.folder / "true.json", TRUE, **sections)
        run([sys.executable, "-m", "job", "run", manifest], ROOT)
        self.result.write_bytes(contents(self.store, TRUE)["result.json"])
        print(f"a result.json has {self.result.stat().st_size:,} bytes", flush=True)

    def _manifest(self, jobs: int) -> Path:
        asked = json.loads(self.result.read_text())["manifest"]
        document = {
            "kind": "batch",
            "name": NAME,
            "defaults": {it: asked[it] for it in ("dataset", "training", "prune", "quantize")},
            "jobs": [_job(number) for number in range(jobs)],
            "destination": {"uri": DESTINATION},
        }
        path = self.folder / f"batch-{jobs}.json"
        path.write_text(json.dumps(document))
        return path


def _job(number: int) -> dict[str, object]:
    name = f"team-{number % 7}-model-{number:05}"
    uri = f"s3://{MODELS}/{NAME}/{name}.h5"
    return {"name": name, "model": {"uri": uri}, "training": {"seed": number}}


def _skip(manifest: Path, number: int, shards: int) -> Run:
    done = _command("run", manifest, f"--shard={number}/{shards}", "--log=json")
    begun, *_, ended = (it for it in read_events(done.output) if "jobs" in it)
    if begun["done_already"] != begun["jobs"] or ended["workers_started"]:
        sys.exit(f"the shard is not skipped: {begun}, {ended}")
    return done


def _command(*words: str | Path) -> Run:
    return run([sys.executable, "-c", CODE, *words], ROOT)


def show(rows: Iterable[Row]) -> None:
    """Seconds, CPU seconds and memory by the number of jobs."""
    for command in LIMITS:
        print(f"\n{command:<12}{'s':>8}{'CPU s':>8}{'MB':>8}{'ms a job':>10}")
        for row in rows:
            it = row.runs[command]
            each = it.wall_s / row.jobs * 1e3
            print(
                f"{row.jobs:>7,} jobs{it.wall_s:>8.2f}{it.cpu_s:>8.2f}{it.largest_mb:>8.0f}"
                f"{each:>10.2f}"
            )


def judge(row: Row) -> list[str]:
    """What misses its limit."""
    missed = []
    for command, (seconds, megabytes) in LIMITS.items():
        it = row.runs[command]
        if it.wall_s > seconds:
            missed.append(f"{command} takes {it.wall_s:.2f} s, more than {seconds:g}")
        if megabytes is not None and it.largest_mb > megabytes:
            missed.append(f"{command} takes {it.largest_mb:.0f} MB, more than {megabytes:g}")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 3000, 10_000])
    jobs = sorted(parser.parse_args().jobs)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with running_store(folder) as store:
            bench = Bench(store, folder)
            rows = [bench.measure(it) for it in jobs]
    show(rows)
    sys.exit("\n".join(judge(rows[-1])) or 0)


if __name__ == "__main__":
    main()
