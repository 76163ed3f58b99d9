"""paredown against the tutorial's script: time, CPU time and memory of the same work.

Runs ``tutorial.py`` and ``paredown run`` with an all-defaults manifest in turn, as whole
processes with imports and everything. A plain ``fit`` of the same epochs, without pruning and in
a process of its own, is timed in each round too: its share of the tutorial's time is what the
training alone takes.

Usage: python benchmarks/compare.py MODEL.h5 MNIST.npz [--rounds 5]
Exits with 1 if one of them fails or their accuracies differ by more than 1.5 points: then the
comparison would not be fair.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import Run, program, ratios, run

# In points of accuracy.
MAX_DIFFERENCE = 0.015

FIGURES = {
    "wall_s": "wall time, s",
    "cpu_s": "CPU time, s",
    "largest_mb": "peak memory of the largest process, MB",
    "together_mb": "peaks of all its processes, added, MB",
}


@dataclass(frozen=True)
class Round:
    """The tutorial's run and paredown's, one after the other, and a plain fit."""

    tutorial: Run
    paredown: Run
    numbers: dict[str, float]
    """What the tutorial printed."""
    artifacts: dict[str, dict[str, Any]]
    """paredown's artifacts by name."""
    plain_fit_s: float


def run_tutorial(model: Path, data: Path, folder: Path) -> tuple[Run, dict[str, float]]:
    """Run the tutorial's script; its process and the numbers that it printed.

    The zips that it makes hold the path of the file, so the output folder is given a short one.
    """
    script = Path(__file__).with_name("tutorial.py").absolute()
    done = run([sys.executable, script, model.absolute(), data.absolute(), "tutorial"], folder)
    numbers: dict[str, float] = json.loads(done.output.splitlines()[-1])
    return done, numbers


def run_paredown(model: Path, data: Path, folder: Path) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Run an all-defaults job; its process and its artifacts by name."""
    manifest = folder / "manifest.json"
    document = {
        "name": "benchmark",
        "model": {"uri": str(model.absolute())},
        "dataset": {"uri": str(data.absolute()), "scale": 1 / 255},
    }
    manifest.write_text(json.dumps(document))
    done = run([program("paredown"), "run", manifest])
    result = json.loads((folder / "out" / "result.json").read_text())
    return done, {it["variant"] or it["stage"]: it for it in result["artifacts"]}


def time_plain_fit(model_file: Path, data_file: Path) -> float:
    """Seconds of a ``fit`` with the tutorial's settings, without pruning."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tf_keras as keras

    keras.utils.set_random_seed(7)
    with np.load(data_file) as data:
        images, labels = data["x_train"] / 255.0, data["y_train"]
    model = keras.models.load_model(model_file)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    started = time.perf_counter()
    model.fit(images, labels, batch_size=128, epochs=2, validation_split=0.1, verbose=0)
    return time.perf_counter() - started


def run_round(model: Path, data: Path) -> Round:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tutorial, numbers = run_tutorial(model, data, folder)
        paredown, artifacts = run_paredown(model, data, folder)
    fit = run([sys.executable, __file__, model, data, "--plain-fit"])
    return Round(tutorial, paredown, numbers, artifacts, float(fit.output))


def show_round(number: int, it: Round) -> None:
    print(
        f"round {number}: "
        f"tutorial {_describe(it.tutorial)}; "
        f"paredown {_describe(it.paredown)}; "
        f"plain fit {it.plain_fit_s:.2f} s",
        flush=True,
    )


def _describe(it: Run) -> str:
    return (
        f"{it.wall_s:.2f} s, CPU {it.cpu_s:.2f} s, "
        f"{it.largest_mb:.0f} MB (all {it.together_mb:.0f} MB)"
    )


def show_summary(rounds: Sequence[Round]) -> None:
    """Medians, the ratios pair by pair, and what the training alone takes."""
    print(f"\n{'':<40}{'tutorial':>10}{'paredown':>10}   paredown/tutorial, pair by pair")
    print(f"{'':<40}{'median':>10}{'median':>10}{'min':>10}{'median':>10}{'max':>10}")
    for figure, title in FIGURES.items():
        theirs = [getattr(it.tutorial, figure) for it in rounds]
        ours = [getattr(it.paredown, figure) for it in rounds]
        columns = [statistics.median(theirs), statistics.median(ours), *ratios(ours, theirs)]
        print(f"{title:<40}" + "".join(f"{value:>10.2f}" for value in columns))
    print("\nOf the tutorial's wall time (medians; shares round by round):")
    walls = [it.tutorial.wall_s for it in rounds]
    _show_share("a plain fit of the same epochs takes", [it.plain_fit_s for it in rounds], walls)
    _show_share("its own fit, which prunes, takes", [it.numbers["fit_s"] for it in rounds], walls)


def _show_share(what: str, seconds: Sequence[float], walls: Sequence[float]) -> None:
    print(f"  {what} {statistics.median(seconds):.2f} s = {ratios(seconds, walls)[1]:.0%}")


def show_accuracies(rounds: Sequence[Round]) -> bool:
    """Show how far the accuracies are apart; whether that is near enough."""
    fair = True
    print("\nAccuracy (the round where they differ most):")
    for key, name in (("pruned_accuracy", "prune"), ("tflite_accuracy", "dynamic_range")):
        pairs = [(it.numbers[key], it.artifacts[name]["metrics"]["accuracy"]) for it in rounds]
        theirs, ours = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
        fair = fair and abs(theirs - ours) <= MAX_DIFFERENCE
        print(f"  {name:<14} tutorial {theirs:.4f}  paredown {ours:.4f}")
    return fair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the trained model, a Keras 2 .h5")
    parser.add_argument("data", type=Path, help="MNIST as an .npz archive")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--plain-fit", action="store_true", help="only time a plain fit, in this process"
    )
    given = parser.parse_args()
    if given.plain_fit:
        print(time_plain_fit(given.model, given.data))
        return
    run_round(given.model, given.data)  # warm-up: files are cached, bytecode is written
    rounds = []
    for number in range(1, given.rounds + 1):
        rounds.append(run_round(given.model, given.data))
        show_round(number, rounds[-1])
    show_summary(rounds)
    if not show_accuracies(rounds):
        sys.exit(f"Not a fair comparison: they differ by more than {MAX_DIFFERENCE:.1%}.")


if __name__ == "__main__":
    main()
