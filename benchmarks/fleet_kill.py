"""Batches that are killed at any moment, and run again: is every job done once, and the same?

Six jobs of the quickstart's model, with different seeds, run in two workers from bucket to bucket,
on a store of its own: once undisturbed; then, for each of the moments, until the batch's process is
killed (SIGKILL), or one of its workers is, or the batch is told to stop (SIGTERM), in turn; and
once more until the end. Moments are drawn with a seed from the first 85 % of the time that the
undisturbed batch takes.

Usage: python benchmarks/fleet_kill.py [--moments 20] [--seed 7]
Exits with 1 if a model file differs from the undisturbed batch's, a job is lost, one that had
finished is run again, SIGTERM does not end with 143, a killed worker fails any job but its own, or
ends the batch with another code than 4, or anything is left over: kept pieces, uploads in parts,
marks of failures, workers, or folders in TMPDIR, also of the batch that was killed.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from buckets import contents, running_store
from fleet_killing import GRACE_S, JOBS, Bench, Moment, Ran

# How long a worker may take to see that its batch is gone, and to clear up.
CLEARING_S = 10.0
# Of the undisturbed batch's time; the machine may be quieter later.
UNTIL = 0.85


def moments(number: int, seconds: float, seed: int) -> list[Moment]:
    """In turn of each kind; when is random."""
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    kinds = [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, False)]
    return [
        Moment(*kinds[place % len(kinds)], draw.uniform(0, UNTIL * seconds))
        for place in range(number)
    ]


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
    resumed = {it["job"] for it in second.told("stage_resumed")}
    print(
        f"{moment!s:<22}{moment.after_s:>6.1f}{first.stage:>10}"
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
