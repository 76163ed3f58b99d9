"""What it takes to find that a job is done already: time, and requests to the store.

The quickstart runs from bucket to bucket, on a store of its own, and then again and again, in turn
with ``python -c "import boto3"``. The requests of one more such run are counted.

Usage: python benchmarks/again.py [--rounds 5]
Exits with 1 if the median is above 1.5 s, or the store is asked more than once for a content, more
than once for each object whether it is there, or to change anything.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from buckets import ROOT, contents, environment, running_store, upload_quickstart, write_manifest

from tests.faults import Call, Faults

MAX_S = 1.5
INPUTS = 2
PREFIX = "again"


def seconds(command: Sequence[str | Path], variables: dict[str, str]) -> float:
    """Wall time of a whole process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def kind(call: Call) -> str:
    """The request's method; LIST where a GET is one."""
    is_list = call.method == "GET" and "list-type" in call.query
    return "LIST" if is_list else call.method


def judge(median_s: float, asked: Counter[str], objects: int) -> list[str]:
    """What misses its limit."""
    missed = []
    if median_s > MAX_S:
        missed.append(f"{median_s:.2f} s, more than {MAX_S:g}")
    if asked["GET"] > 1:
        missed.append(f"{asked['GET']} objects are read")
    if asked["HEAD"] + asked["LIST"] > objects:
        missed.append(f"the store is asked {asked['HEAD'] + asked['LIST']} times what is there")
    changes = asked.total() - asked["GET"] - asked["HEAD"] - asked["LIST"]
    if changes:
        missed.append(f"{changes} requests change something")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_store(folder) as store, Faults(store.url()) as proxy:
            upload_quickstart(store)
            manifest = write_manifest(folder / "manifest.json", PREFIX)
            command: list[str | Path] = [sys.executable, "-m", "job", "run", manifest]
            seconds(command, environment(store, folder))
            objects = len(contents(store, PREFIX)) + INPUTS
            ours, imports = [], []
            for _ in range(rounds):
                ours.append(seconds(command, environment(store, folder)))
                imports.append(seconds([sys.executable, "-c", "import boto3"], dict(os.environ)))
            seconds(command, environment(store, folder, proxy.url))
            asked = Counter(kind(call) for call in proxy.calls)
    for title, figures in (("done already", ours), ("import boto3", imports)):
        cells = " ".join(f"{it:.2f}" for it in figures)
        print(f"{title:<14}{statistics.median(figures):.2f} s   of {cells}")
    counted = ", ".join(f"{number} {method}" for method, number in sorted(asked.items()))
    print(f"requests for {objects} objects: {counted}")
    sys.exit("\n".join(judge(statistics.median(ours), asked, objects)) or 0)


if __name__ == "__main__":
    main()
