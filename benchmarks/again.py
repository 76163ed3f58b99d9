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
import sys
import tempfile
from collections import Counter
from pathlib import Path

from buckets import ROOT, contents, environment, running_store, upload_quickstart, write_manifest
from processes import Run, run

from tests.support.faults import Call, Faults

MAX_S = 1.5
INPUTS = 2
PREFIX = "again"


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
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with running_store(folder) as store, Faults(store.url()) as proxy:
            upload_quickstart(store)
            manifest = write_manifest(folder / "manifest.json", PREFIX)
            os.environ |= environment(store, folder)
            run([sys.executable, "-m", "job", "run", manifest], ROOT)
            objects = len(contents(store, PREFIX)) + INPUTS
            commands: dict[str, list[str | Path]] = {
                "done already": [sys.executable, "-m", "job", "run", manifest],
                "import boto3": [sys.executable, "-c", "import boto3"],
            }
            runs: dict[str, list[Run]] = {name: [] for name in commands}
            for _ in range(rounds):
                for name, command in commands.items():
                    runs[name].append(run(command, ROOT))
            os.environ |= environment(store, folder, proxy.url)
            run(commands["done already"], ROOT)
            asked = Counter(kind(call) for call in proxy.calls)
    median_s = {name: statistics.median(it.wall_s for it in done) for name, done in runs.items()}
    for name, done in runs.items():
        cells = " ".join(f"{it.wall_s:.2f}" for it in done)
        cpu_s = statistics.median(it.cpu_s for it in done)
        print(f"{name:<14}{median_s[name]:.2f} s of {cells}; {cpu_s:.2f} s of CPU time")
    counted = ", ".join(f"{number} {method}" for method, number in sorted(asked.items()))
    print(f"requests for {objects} objects: {counted}")
    sys.exit("\n".join(judge(median_s["done already"], asked, objects)) or 0)


if __name__ == "__main__":
    main()
