"""Batches that are killed at any moment, and run again: is every job done once, and the same?

Six jobs of the quickstart's model, with different seeds, run in two workers from bucket to bucket,
on a store of its own: once undisturbed; then, for each of the moments, until the batch's process is
killed (SIGKILL), or one of its workers is, or the batch is told to stop (SIGTERM), in turn; and
once more until the end. Moments are drawn with a seed from all of the undisturbed batch's time.

Usage: python benchmarks/fleet_kill.py [--moments 20] [--seed 7]
Exits with 1 if a model file differs from the undisturbed batch's, a job is lost, one that had
finished is run again, SIGTERM does not end with 143, a killed worker fails any job but its own, or
ends the batch with another code than 4, or anything is left over: kept pieces, uploads in parts,
marks of failures, workers, or folders in TMPDIR, also of the batch that was killed.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from buckets import ROOT, contents, environment, running_store, upload_quickstart
from fleet_events import Event, read_events
from processes import family

from tests.identities import MODELS, RESULTS
from tests.seaweed import Seaweed

JOBS = [f"job-{number}" for number in range(6)]
GRACE_S = 20.0
LONGEST_S = 600.0
# How long a worker may take to see that its batch is gone, and to clear up.
CLEARING_S = 10.0


@dataclass(frozen=True)
class Moment:
    """What is ended, how, and when."""

    number: signal.Signals
    of_worker: bool
    after_s: float

    def __str__(self) -> str:
        return f"{self.number.name} of {'a worker' if self.of_worker else 'the batch'}"


@dataclass
class Ran:
    """A batch that has ended."""

    code: int
    seconds: float
    errors: str
    events: list[Event]
    workers: list[int] = field(default_factory=list)
    """Those that were there at the moment."""
    stop_s: float = 0.0
    """From the signal to the end."""

    @property
    def finished(self) -> Counter[str]:
        """The jobs that it has done, and how often; not those that were done before."""
        return Counter(
            it["job"]
            for it in self.events
            if it["event"] == "run_finished" and not it["already_done"]
        )

    def told(self, event: str) -> list[Event]:
        """The events of a kind."""
        return [it for it in self.events if it["event"] == event]


class Bench:
    """A store, and batches against it."""

    def __init__(self, store: Seaweed, folder: Path) -> None:
        self.store = store
        self.folder = folder
        upload_quickstart(store)

    def run(self, prefix: str, moment: Moment | None = None, chance: int = 0) -> Ran:
        """Run the batch to its end, or to where it is disturbed."""
        scratch = self.scratch(prefix)
        with tempfile.TemporaryFile("w+", dir=self.folder) as errors:
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "job", "run", self._manifest(prefix), "--log=json"],
                cwd=ROOT,
                env=environment(self.store, scratch),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            deadline = threading.Timer(LONGEST_S, process.kill)
            deadline.start()
            shot = Shot(process, moment, chance)
            if moment:
                shot.start()
            assert process.stdout is not None
            output = process.stdout.read()
            code = process.wait()
            ended = time.monotonic()
            deadline.cancel()
            errors.seek(0)
            said = errors.read().strip()
        stop_s = ended - shot.sent_at if shot.sent_at else 0.0
        return Ran(code, ended - started, said, read_events(output), shot.workers, stop_s)

    def scratch(self, prefix: str) -> Path:
        """Its TMPDIR."""
        path = self.folder / f"tmp-{prefix}"
        path.mkdir(exist_ok=True)
        return path

    def files(self, prefix: str) -> dict[str, bytes]:
        """Model files and encodings."""
        there = contents(self.store, prefix)
        return {
            name: content
            for name, content in there.items()
            if "/." not in name and not name.endswith((".json", ".csv"))
        }

    def left_over(self, prefix: str) -> list[str]:
        """What should not be there after a run has ended."""
        names = contents(self.store, prefix)
        kept = [it for it in names if "/.resume/" in it or it.endswith("failure.json")]
        return kept + [str(it["Key"]) for it in self.store.uploads(RESULTS, f"{prefix}/")]

    def _manifest(self, prefix: str) -> Path:
        document = {
            "kind": "batch",
            "name": prefix,
            "defaults": {
                "dataset": {"uri": f"s3://{MODELS}/mnist.npz", "scale": 1 / 255},
                "resume": {"save_every_s": 0.5, "grace_s": GRACE_S},
            },
            "jobs": [
                {
                    "name": name,
                    "model": {"uri": f"s3://{MODELS}/mnist_baseline.h5"},
                    "training": {"epochs": 4, "batch_size": 32, "seed": seed},
                }
                for seed, name in enumerate(JOBS)
            ],
            "workers": 2,
            "destination": {"uri": f"s3://{RESULTS}/{prefix}"},
        }
        path = self.folder / f"{prefix}.json"
        path.write_text(json.dumps(document))
        return path


class Shot(threading.Thread):
    """A signal that is sent once."""

    def __init__(self, process: subprocess.Popen[str], moment: Moment | None, chance: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.moment = moment
        self.chance = chance
        """Which of the workers is hit."""
        self.sent_at = 0.0
        self.workers: list[int] = []

    def run(self) -> None:
        """Wait for the moment, for a worker if one is to be killed, and send it."""
        assert self.moment is not None
        time.sleep(self.moment.after_s)
        while self.process.poll() is None:
            _, *self.workers = family(self.process.pid)
            if self.workers or not self.moment.of_worker:
                break
            time.sleep(0.02)
        else:
            return
        hit = self.workers[self.chance % len(self.workers)] if self.moment.of_worker else None
        self.sent_at = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(hit or self.process.pid, self.moment.number)


def moments(number: int, seconds: float, seed: int) -> list[Moment]:
    """In turn of each kind; when is random."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    kinds = [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, False)]
    return [Moment(*kinds[place % len(kinds)], draw.uniform(0, seconds)) for place in range(number)]


def disturb(bench: Bench, place: int, moment: Moment, expected: Mapping[str, bytes]) -> list[str]:
    """End a batch, look at what it left, run it again and compare; what is wrong."""
    prefix = f"moment-{place}"
    first = bench.run(prefix, moment, place)
    left = _left_here(bench, prefix, first)
    there = {name.split("/")[0] for name in contents(bench.store, prefix) if _is_result(name)}
    second = bench.run(prefix)
    files = bench.files(prefix)
    again = first.finished.keys() & {it["job"] for it in second.told("stage_started")}
    wrong = [
        *(f"left here by the first: {it}" for it in left),
        *_wrong_code(first, moment),
        *([f"run again: {second.code}, {second.errors}"] if second.code else []),
        *(f"{it} had finished, and is run again" for it in again),
        *_not_once(first, second, there),
        *(f"{it} is another" for it in expected if files.get(it) != expected[it]),
        *(f"{it} is new" for it in files.keys() - expected.keys()),
        *(f"left in the bucket: {it}" for it in bench.left_over(prefix)),
        *(f"left here: {it}" for it in _left_here(bench, prefix, second)),
    ]
    begun = [it["stage"] for it in first.told("stage_started")]
    resumed = {it["job"] for it in second.told("stage_resumed")}
    print(
        f"{moment!s:<22}{moment.after_s:>6.1f}{begun[-1] if begun else 'start':>10}"
        f"{first.code:>6}{first.stop_s:>7.1f}{len(first.finished):>6}{len(resumed):>8}"
        f"{second.seconds:>8.1f}   {'NO' if wrong else 'yes'}",
        flush=True,
    )
    for it in wrong:
        print(f"    {it}", flush=True)
    return wrong


def _is_result(name: str) -> bool:
    return name.endswith("/result.json")


def _left_here(bench: Bench, prefix: str, ran: Ran) -> list[str]:
    """Workers and folders, some time after the end."""
    deadline = time.monotonic() + CLEARING_S
    while True:
        folders = [it.name for it in bench.scratch(prefix).iterdir()]
        workers = [f"worker {pid}" for pid in ran.workers if Path(f"/proc/{pid}").exists()]
        if not (folders or workers) or time.monotonic() > deadline:
            return folders + workers
        time.sleep(0.1)


def _wrong_code(first: Ran, moment: Moment) -> list[str]:
    """Whether the first run ended as it should, and told of a killed worker's job alone."""
    failed = [f"{it['job']}: {it['what']}" for it in first.told("job_failed")]
    expected = {0, -moment.number}  # it may have been over already
    if moment.number == signal.SIGTERM:
        expected = {0, 128 + moment.number}
    if moment.of_worker:
        expected = {4} if failed else {0}  # it may have had no job
    wrong = [] if first.code in expected else [f"ended with {first.code}: {first.errors}"]
    if len(failed) > moment.of_worker or not all("was killed" in it for it in failed):
        wrong += failed
    if moment.number == signal.SIGTERM and first.stop_s > GRACE_S:
        wrong.append(f"ended {first.stop_s:.1f} s after the signal")
    return wrong


def _not_once(first: Ran, second: Ran, there: set[str]) -> list[str]:
    """Jobs that were not done once. One that was published may not have been told of."""
    done = first.finished + second.finished
    times = {it: done[it] + (it in there and it not in first.finished) for it in JOBS}
    return [f"{it} is done {count} times" for it, count in times.items() if count != 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_store(Path(name)) as store:
        bench = Bench(store, Path(name))
        undisturbed = bench.run("undisturbed")
        expected = bench.files("undisturbed")
        if undisturbed.code or undisturbed.finished != dict.fromkeys(JOBS, 1):
            sys.exit(f"the undisturbed batch failed: {undisturbed.errors}")
        print(f"undisturbed: {undisturbed.seconds:.1f} s, {len(expected)} model files")
        print(
            f"{'what':<22}{'at s':>6}{'stage':>10}{'code':>6}{'end s':>7}{'done':>6}{'resumed':>8}"
            f"{'2nd s':>8}   right",
            flush=True,
        )
        drawn = moments(given.moments, undisturbed.seconds, given.seed)
        found = [disturb(bench, place, it, expected) for place, it in enumerate(drawn)]
    sys.exit(_verdict(found))


def _verdict(found: Sequence[list[str]]) -> int:
    right = sum(not it for it in found)
    print(f"\nright {right} times of {len(found)}")
    return 0 if right == len(found) else 1


if __name__ == "__main__":
    main()
