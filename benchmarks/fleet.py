"""A batch against the tutorial's script, run once for each model: models per hour.

Twelve models (``fleet_models.py``) in a store of their own. In turn, ``tutorial.py`` runs once for
each of them, from this machine's disk, and a batch with two workers runs from bucket to bucket; the
same data set, epochs, batch size and schedule, zip alone as the codec, no gates. Whole processes
are timed, the batch's with its table and summary. paredown does more than the script: it downloads
and uploads, and measures drift and latencies.

The overhead of a job in a warm worker (one that has done a job before) is all that the worker's
time goes to but training (stage prune) and measuring (baseline, evaluate, latency): scan, load,
try, strip, quantize, waiting for the zips (compress), what is between the stages, and what is
between two jobs, until the worker has the next one. What the parent does for a job (fetch, publish)
goes on beside other jobs; it is shown, and not in that sum. Neither is that a job waits for a
worker.

Usage: python benchmarks/fleet.py MNIST.npz [--rounds 3] [--models FOLDER]
Exits with 1 if the batch makes less than 2.5 times as many models per hour (median of the rounds),
the overhead is above 1 s (median of the jobs), or the mean accuracies differ by more than 1.5
points: then the comparison would not be fair.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buckets import ROOT, environment, running_store
from compare import run_tutorial
from fleet_events import Job, jobs_of, read_events
from processes import Run, ratios, run

from tests.support.identities import MODELS, RESULTS
from tests.support.seaweed import Seaweed

MIN_RATIO = 2.5
MAX_OVERHEAD_S = 1.0
# In points of accuracy, of the means over all models and rounds.
MAX_DIFFERENCE = 0.015
WORKERS = 2
TRAINING = ("prune",)
MEASURING = ("baseline", "evaluate", "latency")


@dataclass(frozen=True)
class Round:
    """The tutorial's runs, one after another, and the batch."""

    tutorial: Sequence[Run]
    numbers: Sequence[dict[str, float]]
    """What each of the tutorial's runs printed."""
    batch: Run
    jobs: Sequence[Job]
    accuracies: Sequence[dict[str, float]]
    """Of the batch's artifacts, by their names, in the models' order."""

    @property
    def tutorial_s(self) -> float:
        return sum(it.wall_s for it in self.tutorial)

    @property
    def ratio(self) -> float:
        return self.tutorial_s / self.batch.wall_s


class Bench:
    """The models on the disk and in a store."""

    def __init__(self, store: Seaweed, folder: Path, data: Path, models: Sequence[Path]) -> None:
        self.store = store
        self.folder = folder
        self.data = data
        self.models = models
        client = store.client()
        for path in (data, *models):
            client.upload_file(str(path), MODELS, f"fleet/{path.name}")

    def round(self, name: str) -> Round:
        """Run both."""
        done = [run_tutorial(model, self.data, self.folder) for model in self.models]
        batch = run([sys.executable, "-m", "job", "run", self._manifest(name), "--log=json"], ROOT)
        return Round(
            [it for it, _ in done],
            [numbers for _, numbers in done],
            batch,
            jobs_of(read_events(batch.output)),
            [self._accuracies(name, model.stem) for model in self.models],
        )

    def _manifest(self, name: str) -> Path:
        document = {
            "kind": "batch",
            "name": name,
            "defaults": {
                "dataset": {"uri": f"s3://{MODELS}/fleet/{self.data.name}", "scale": 1 / 255},
                "compress": {"codecs": ["zip"]},
            },
            "jobs": [
                {"name": it.stem, "model": {"uri": f"s3://{MODELS}/fleet/{it.name}"}}
                for it in self.models
            ],
            "workers": WORKERS,
            "destination": {"uri": f"s3://{RESULTS}/{name}"},
        }
        path = self.folder / "batch.json"
        path.write_text(json.dumps(document))
        return path

    def _accuracies(self, name: str, job: str) -> dict[str, float]:
        key = f"{name}/{job}/result.json"
        answer = self.store.client().get_object(Bucket=RESULTS, Key=key)
        result: dict[str, Any] = json.loads(answer["Body"].read())
        return {
            it["variant"] or it["stage"]: it["metrics"]["accuracy"] for it in result["artifacts"]
        }


def overhead_s(job: Job, between_s: float) -> float:
    """What a worker spends on a job beside training and measuring."""
    return job.in_worker_s + between_s - job.spent_in(TRAINING + MEASURING)


def between_s(jobs: Sequence[Job]) -> float:
    """From the end of a job in a worker to the beginning of the next one there, in the mean.

    The sum does not depend on which job came after which.
    """
    given = sorted(it.given for it in jobs)[WORKERS:]
    left = sorted(it.left for it in jobs)[:-WORKERS]
    return (sum(given) - sum(left)) / len(given)


def show_round(number: int, it: Round) -> None:
    training = sum(numbers["fit_s"] for numbers in it.numbers) / it.tutorial_s
    ours = sum(job.spent_in(TRAINING) for job in it.jobs) / (WORKERS * it.batch.wall_s)
    hour = 3600 * len(it.jobs)
    print(
        f"round {number}: tutorial {it.tutorial_s:.1f} s = {hour / it.tutorial_s:.0f} models/h, "
        f"{training:.0%} of it training; "
        f"batch {it.batch.wall_s:.1f} s = {hour / it.batch.wall_s:.0f} models/h, "
        f"{ours:.0%} of its workers' time training; {it.ratio:.2f} times",
        flush=True,
    )


def show_jobs(rounds: Sequence[Round]) -> float:
    """Show where the time of jobs goes in a warm worker; the median overhead."""
    warm = [job for it in rounds for job in it.jobs if not job.is_cold]
    between = statistics.fmean(between_s(it.jobs) for it in rounds)
    overheads = [overhead_s(it, between) for it in warm]
    print(f"\n{f'{len(warm)} jobs in warm workers, seconds':<40}{'median':>8}{'min':>8}{'max':>8}")
    for stage in sorted({stage for it in warm for stage in it.stages}):
        _show(f"  {stage}", [it.stages.get(stage, 0.0) for it in warm])
    _show("training", [it.spent_in(TRAINING) for it in warm])
    _show("measuring", [it.spent_in(MEASURING) for it in warm])
    _show("between two jobs (mean)", [between])
    _show("overhead: the rest of the worker's time", overheads)
    _show("beside it, in the parent", [it.in_parent_s for it in warm])
    return statistics.median(overheads)


def _show(what: str, seconds: Sequence[float]) -> None:
    cells = [statistics.median(seconds), min(seconds), max(seconds)]
    print(f"{what:<40}" + "".join(f"{cell:>8.3f}" for cell in cells))


def show_accuracies(rounds: Sequence[Round]) -> float:
    """Show the accuracies' means; how far they are apart."""
    apart = 0.0
    print("\nAccuracy, mean of all models and rounds:")
    for key, name in (("pruned_accuracy", "prune"), ("tflite_accuracy", "dynamic_range")):
        theirs = statistics.fmean(numbers[key] for it in rounds for numbers in it.numbers)
        ours = statistics.fmean(found[name] for it in rounds for found in it.accuracies)
        apart = max(apart, abs(theirs - ours))
        print(f"  {name:<14} tutorial {theirs:.4f}  batch {ours:.4f}")
    return apart


def judge(rounds: Sequence[Round], overhead: float, difference: float) -> list[str]:
    """What misses its limit."""
    missed = []
    median = statistics.median(it.ratio for it in rounds)
    if median < MIN_RATIO:
        missed.append(f"{median:.2f} times the models per hour, less than {MIN_RATIO:g}")
    if overhead > MAX_OVERHEAD_S:
        missed.append(f"{overhead:.2f} s of overhead, more than {MAX_OVERHEAD_S:g}")
    if difference > MAX_DIFFERENCE:
        missed.append(f"mean accuracies are {difference:.4f} apart: not a fair comparison")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="MNIST as an .npz archive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--models", type=Path, help="where the models are kept; else in a new folder"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        models = (given.models or folder / "models").absolute()
        run([sys.executable, Path(__file__).with_name("fleet_models.py"), given.data, models])
        with running_store(folder) as store:
            bench = Bench(store, folder, given.data.absolute(), sorted(models.glob("*.h5")))
            os.environ |= environment(store, folder)
            rounds = []
            for number in range(1, given.rounds + 1):
                rounds.append(bench.round(f"fleet-{number}"))
                show_round(number, rounds[-1])
    lowest, median, highest = ratios(
        [it.tutorial_s for it in rounds], [it.batch.wall_s for it in rounds]
    )
    print(f"\n{median:.2f} times the models per hour ({lowest:.2f} to {highest:.2f})")
    overhead = show_jobs(rounds)
    missed = judge(rounds, overhead, show_accuracies(rounds))
    sys.exit("\n".join(missed) or 0)


if __name__ == "__main__":
    main()
