"""What a warm worker holds on to: its memory after each of many different jobs.

Jobs run one after another in one worker of a fleet, from this machine's disk, with the quickstart's
data: twelve models (``fleet_models.py``) of different sizes, with different variants, codecs,
optimizers and schedules in turn. After each job, once the worker has let go of it, its resident
memory is read.

Usage: python benchmarks/warm.py MNIST.npz [--jobs 30] [--models FOLDER]
MNIST.npz is what the models are trained with. Exits with 1 if after the last job a worker has more
than 1.3 times what it had after the third; one that was replaced meanwhile (after ``MOST_TASKS``
jobs) is compared with its own third job.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buckets import QUICKSTART
from processes import family, run

from job import machine
from job.batch.workers import MOST_TASKS, Limits, Workers
from job.manifest.job import JobConfig
from job.pipeline import run_job
from job.storage.place import find_place, here

MAX_RATIO = 1.3
# The first jobs import what is imported when it is needed.
SETTLED = 3
# The worker forgets a job after it has told its result.
LET_GO_S = 0.5
SETTINGS: Sequence[Mapping[str, Any]] = (
    {"quantize": [{"type": "dynamic_range"}, {"type": "int8"}]},
    {
        "training": {"epochs": 2, "optimizer": {"type": "sgd", "momentum": 0.9}},
        "prune": {"schedule": {"type": "constant", "target_sparsity": 0.5, "frequency": 5}},
        "quantize": [{"type": "float16"}, {"type": "int16x8"}],
        "compress": {"codecs": ["zip", "zstd"]},
    },
    {
        "training": {"epochs": 1, "batch_size": 32, "optimizer": {"type": "rmsprop"}},
        "quantize": [{"type": "float32"}, {"type": "int8", "per_channel": False}],
        "compress": {"codecs": ["gzip", "xz", "brotli"]},
    },
)


@dataclass(frozen=True)
class After:
    """The worker, after a job."""

    job: str
    pid: int
    megabytes: float
    seconds: float


def jobs_of(models: Sequence[Path], count: int, folder: Path) -> list[JobConfig]:
    """Different jobs: each model with each of the settings in turn, and another seed."""
    data = QUICKSTART / "mnist.npz"
    made = []
    for number, model in zip(range(count), itertools.cycle(models), strict=False):
        round_, setting = divmod(number, len(models))
        sections = dict(SETTINGS[(setting + round_) % len(SETTINGS)])
        sections["training"] = {"epochs": 1, "seed": number, **sections.get("training", {})}
        document = {
            "name": f"{number + 1:02}-{model.stem}",
            "model": {"uri": str(model)},
            "dataset": {"uri": str(data), "scale": 1 / 255},
            "destination": {"uri": str(folder / str(number))},
        }
        made.append(JobConfig.model_validate(document | sections))
    return made


def watch(jobs: Sequence[JobConfig]) -> list[After]:
    """Run them, and look at the worker after each."""
    found = []
    with Workers(1, Limits(None, None), verbose=False) as workers:
        for job in jobs:
            started = time.monotonic()
            run_job(job, find_place(".", here()), lambda _: None, workers)
            seconds = time.monotonic() - started
            time.sleep(LET_GO_S)
            _, pid = family(os.getpid())
            found.append(After(job.name, pid, machine.resident_bytes(pid) / 1e6, seconds))
            it = found[-1]
            print(f"{it.job:<18}{it.megabytes:>8.0f} MB{it.seconds:>8.1f} s   {it.pid}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="MNIST as an .npz archive")
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--models", type=Path, help="where the models are kept; else a new folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        models = (given.models or folder / "models").absolute()
        run([sys.executable, Path(__file__).with_name("fleet_models.py"), given.data, models])
        found = watch(jobs_of(sorted(models.glob("*.h5")), given.jobs, folder))
    own = [it.megabytes for it in found if it.pid == found[-1].pid]
    first = own[min(SETTLED, len(own)) - 1]
    how = "is replaced" if len(own) < len(found) else "is not replaced meanwhile"
    print(
        f"\n{own[-1]:.0f} MB after {len(found)} jobs, {first:.0f} MB after {SETTLED}: "
        f"{own[-1] / first:.2f} times; at most {max(own):.0f} MB. "
        f"The worker {how} (after {MOST_TASKS} jobs it is)."
    )
    sys.exit(0 if own[-1] <= MAX_RATIO * first else f"more than {MAX_RATIO:g} times")


if __name__ == "__main__":
    main()
