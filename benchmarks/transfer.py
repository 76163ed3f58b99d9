"""How fast a large object goes up and down, beside ``aws s3 cp``.

An object of 1 GiB goes to a store of its own and comes back, in turn by ``aws s3 cp`` (installed
from PyPI for this, into an environment that is thrown away) and as the job does it: up with the
SHA-256 of each part (that of the file is known: every file is measured, wherever it goes), down
with that of the whole and what the store keeps. Each time it is a process of its own, so that
start-up counts on both sides. On a virtual machine a GiB of new files may take two seconds longer
where the kernel has to ask its host for the memory, which is often so with every other command:
a round is theirs, ours, ours, theirs, and two are compared with two.

Usage: python benchmarks/transfer.py [--mebibytes 1024] [--rounds 5] [--huge]
With --huge the peak memory of ours is measured for an object of 5 GiB.
Exits with 1 if in the median ours has less than 0.9 of the other's speed, or its peak memory is
300 MB or more. Needs free disk space of eight times the object's size.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import harmonic_mean, median

from buckets import environment, running_store
from processes import ratios

from tests.support.identities import RESULTS
from tests.support.seaweed import Seaweed

MIN_RATIO = 0.9
MAX_MB = 300
MIB = 1 << 20
HUGE_MIB = 5 << 10
COPIES = 8


def upload(path: Path, key: str, sha256: str) -> None:
    """As the job uploads a file."""
    from job.manifest.storage import StorageConfig
    from job.storage.backend import Stores, Upload
    from job.storage.place import Place

    place = Place("s3", key, RESULTS)
    upload = Upload(path, path.stat().st_size, sha256, place, {})
    Stores(print).backend(place, StorageConfig()).upload(upload, lambda _: None)


def download(path: Path, key: str, _: str) -> None:
    """As the job fetches an input, into a folder."""
    from job.manifest.storage import StorageConfig
    from job.storage.backend import Stores
    from job.storage.find import fetch, find
    from job.storage.place import Place

    place = Place("s3", key, RESULTS)
    backend = Stores(print).reader(place, StorageConfig())
    fetch(find(place, place, None, backend, "Reading"), path, backend, lambda _: None)


STEPS: dict[str, Callable[[Path, str, str], None]] = {"up": upload, "down": download}


def make(path: Path, mebibytes: int) -> str:
    """A file that can't be compressed; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mebibytes):
            content = os.urandom(MIB)
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def install_aws(folder: Path) -> Path:
    """``aws``, in an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-qq", "awscli"], check=True)
    return folder / "bin" / "aws"


class Bench:
    """A store, a file, and the two ways to bring one to the other."""

    def __init__(self, store: Seaweed, folder: Path, mebibytes: int) -> None:
        self.environment = environment(store, folder)
        self.file = folder / "file.bin"
        self.target = folder / "target"
        self.mebibytes = mebibytes
        self.sha256 = make(self.file, mebibytes)

    def time(self, command: Sequence[str | Path]) -> tuple[float, str]:
        """MB/s of a whole process, and what it printed."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        os.sync()  # what was written before is not to be written meanwhile
        started = time.perf_counter()
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return self.mebibytes * MIB / 1e6 / (time.perf_counter() - started), done.stdout

    def ours(self, way: str) -> tuple[float, float]:
        """MB/s, and the peak memory in MB."""
        path = self.file if way == "up" else self.target
        speed, printed = self.time([sys.executable, __file__, "--step", way, path, self.sha256])
        if way == "down" and not _same(self.file, next(self.target.iterdir())):
            sys.exit("What came down is not what went up.")
        return speed, float(printed.splitlines()[-1])

    def theirs(self, way: str, aws: Path) -> float:
        """MB/s."""
        there = f"s3://{RESULTS}/theirs"
        ends: list[str | Path]
        ends = [self.file, there] if way == "up" else [there, self.target / "file.bin"]
        return self.time([aws, "s3", "cp", "--only-show-errors", *ends])[0]


def _same(one: Path, other: Path) -> bool:
    return (
        subprocess.run(
            [shutil.which("cmp") or "cmp", "--silent", one, other], check=False
        ).returncode
        == 0
    )


def _peak_mb() -> float:
    """This process's largest resident set so far."""
    (line,) = (
        it for it in Path("/proc/self/status").read_text().splitlines() if it.startswith("VmHWM:")
    )
    return int(line.split()[1]) * 1024 / 1e6


def compare(bench: Bench, aws: Path, rounds: int) -> list[str]:
    """Both ways, in turn; what misses its limit."""
    missed = []
    for way in STEPS:
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        for _ in range(rounds):
            first = bench.theirs(way, aws)
            ours.append((bench.ours(way)[0], bench.ours(way)[0]))
            theirs.append((first, bench.theirs(way, aws)))
        of_both = [harmonic_mean(it) for it in ours], [harmonic_mean(it) for it in theirs]
        low, middle, high = ratios(*of_both)
        print(f"{bench.mebibytes} MiB {way:<5}{'MB/s':>12}")
        for name, pairs, means in zip(
            ("paredown", "aws s3 cp"), (ours, theirs), of_both, strict=True
        ):
            cells = ", ".join(f"{one:.0f} {other:.0f}" for one, other in pairs)
            print(f"  {name:<12}{median(means):>10.1f}   of {cells}")
        print(f"  ratio, min, median, max: {low:.2f}, {middle:.2f}, {high:.2f}", flush=True)
        if middle < MIN_RATIO:
            missed.append(f"{way}: {middle:.2f} times the speed of aws s3 cp")
    return missed


def measure_memory(bench: Bench) -> list[str]:
    """Both ways of ours; what misses its limit."""
    missed = []
    for way in STEPS:
        speed, peak_mb = bench.ours(way)
        print(f"{bench.mebibytes} MiB {way:<5}{speed:8.1f} MB/s, peak memory {peak_mb:.0f} MB")
        if peak_mb >= MAX_MB:
            missed.append(f"{way}: a peak of {peak_mb:.0f} MB")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--huge", action="store_true", help="the peak memory for 5 GiB instead")
    parser.add_argument("--step", choices=STEPS, help="only do this, in this process")
    parser.add_argument("path", type=Path, nargs="?", help="the step's file or folder")
    parser.add_argument("sha256", nargs="?", help="what is known of the step's file")
    given = parser.parse_args()
    if given.step:
        STEPS[given.step](given.path, "ours", given.sha256)
        print(_peak_mb())
        return
    mebibytes = HUGE_MIB if given.huge else given.mebibytes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < COPIES * mebibytes * MIB:
            sys.exit(f"There is no room for {COPIES} times {mebibytes} MiB.")
        with running_store(folder) as store:
            bench = Bench(store, folder, mebibytes)
            if given.huge:
                missed = measure_memory(bench)
            else:
                missed = compare(bench, install_aws(folder / "aws"), given.rounds)
    sys.exit("\n".join(missed) or 0)


if __name__ == "__main__":
    main()
