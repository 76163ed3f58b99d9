"""Memory and time of reading a model of 500 MB, beside plain Keras.

Makes a model of Dense layers with random weights, once with Keras 2 (``.h5``) and once with
Keras 3 (``.keras``), and reads both in turn, each time in a process of its own: with ``load_model``
of the Keras that made it, and as paredown does, which judges the file first and rebuilds the model
of Keras 3 in Keras 2. Every process imports the same. Judging is timed apart, without loading.

Usage: python benchmarks/memory.py [--megabytes 500] [--rounds 3]
Exits with 1 if in the median paredown's peak is above 1.2 times load_model's plus 200 MB, or
judging takes more than 2 s.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from processes import Run, ratios, run

MAX_RATIO = 1.2
MAX_MORE_MB = 200
MAX_JUDGING_S = 2.0
# A layer of 2048 x 2048 float32 has 16.8 MB.
UNITS = 2048
FILES = {"Keras 2, .h5": "model.h5", "Keras 3, .keras": "model.keras"}


def make(path: Path, megabytes: int) -> None:
    """Save a model of about so many megabytes; the file's suffix says by which Keras."""
    keras = _keras_of(path)
    layers = [keras.layers.Dense(UNITS) for _ in range(round(megabytes * 1e6 / UNITS**2 / 4))]
    model = keras.Sequential(layers)
    model.build((None, UNITS))
    model.save(path)


def load_plainly(path: Path) -> None:
    """What a user would call instead."""
    import job.models.load  # noqa: F401 - so that both processes have imported the same

    _keras_of(path).models.load_model(path, compile=False)


def read(path: Path) -> None:
    """What paredown does."""
    _keras_of(path)
    from job.models import load

    load.read(path)


def judge(path: Path) -> None:
    """Print the seconds that judging takes."""
    from job.safety import judge as judging

    started = time.perf_counter()
    judging.judge(path)
    print(time.perf_counter() - started)


def _keras_of(path: Path) -> Any:
    import keras
    import tf_keras

    return keras if path.suffix == ".keras" else tf_keras


STEPS: dict[str, Callable[[Path], None]] = {
    "load_plainly": load_plainly,
    "read": read,
    "judge": judge,
}


def in_a_process(step: str, path: Path, *options: str) -> Run:
    """This script once more, for one step."""
    return run([sys.executable, __file__, "--step", step, path, *options])


def compare(title: str, path: Path, rounds: int) -> list[str]:
    """Measure and show one file; what is above its limit."""
    peaks: dict[str, list[float]] = {"load_plainly": [], "read": []}
    judging_s = []
    for _ in range(rounds):
        for step, figures in peaks.items():
            figures.append(in_a_process(step, path).largest_mb)
        judging_s.append(float(in_a_process("judge", path).output))
    theirs, ours = peaks.values()
    limit = MAX_RATIO * statistics.median(theirs) + MAX_MORE_MB
    print(f"\n{title}, {path.stat().st_size / 1e6:.0f} MB{'median':>20}{'min':>10}{'max':>10}")
    _show("load_model, peak memory, MB", theirs)
    _show("paredown, peak memory, MB", ours)
    _show("difference, MB", [mine - other for mine, other in zip(ours, theirs, strict=True)])
    low, middle, high = ratios(ours, theirs)
    print(f"{'paredown/load_model':<30}{middle:>10.2f}{low:>10.2f}{high:>10.2f}")
    _show("judging, s", judging_s, digits=3)
    found = []
    if statistics.median(ours) > limit:
        found.append(f"{title}: {statistics.median(ours):.0f} MB is more than {limit:.0f}")
    if statistics.median(judging_s) > MAX_JUDGING_S:
        found.append(f"{title}: judging takes more than {MAX_JUDGING_S:g} s")
    return found


def _show(what: str, figures: Sequence[float], digits: int = 0) -> None:
    cells = [statistics.median(figures), min(figures), max(figures)]
    print(f"{what:<30}" + "".join(f"{cell:>10.{digits}f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", choices=["make", *STEPS], help="only do this, in this process")
    parser.add_argument("path", type=Path, nargs="?", help="the step's file")
    given = parser.parse_args()
    if given.step == "make":
        make(given.path, given.megabytes)
        return
    if given.step:
        STEPS[given.step](given.path)
        return
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for title, name in FILES.items():
            path = Path(folder) / name
            in_a_process("make", path, "--megabytes", str(given.megabytes))
            missed += compare(title, path, given.rounds)
    print("\n" + ("\n".join(missed) or "All within their limits."))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
